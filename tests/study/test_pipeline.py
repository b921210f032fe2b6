"""One trial by itself: what it leaves on the disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from effect_observations import KERNEL, bench, config

from kas.study.display.events import Silent
from kas.study.workers.trial import Pipeline


@pytest.mark.parametrize(
    ("holder", "values", "outcome", "kept"),
    [
        (0, {}, "duplicate", True),  # of the trial that holds the kernel, which may be training
        (None, {"health.max_scale": 0.5}, "unhealthy", False),
        (None, {"budget": {"params": {"max": 1, "absolute": True}}}, "infeasible", False),
    ],
)
def test_a_checkpoint_is_removed_by_its_own_trial_alone(
    holder: int | None, values: dict[str, Any], outcome: str, kept: bool, tmp_path: Path
) -> None:
    place = bench(config(values), tmp_path)
    checkpoint = place.folder.trial(KERNEL.hash) / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("weights")
    context: Any = SimpleNamespace(number=1, trial=None, listener=Silent(), claim=lambda *_, **__: holder)
    assert Pipeline(place, lambda _: KERNEL)(context).name == outcome
    assert checkpoint.exists() is kept
