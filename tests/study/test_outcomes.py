"""Whatever a trial meets is a recorded outcome with its reason, and the search goes on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from test_session import CONFIG

from kas.evaluation import OutOfMemory, TimeLimit, TrainingDiverged
from kas.language import KasError
from kas.study.display.events import Silent
from kas.study.workers import trial as pipeline
from kas.study.workers.session import run_study


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TrainingDiverged("the training loss was nan in epoch 0"), "unhealthy"),
        (OutOfMemory("out of memory while training"), "out_of_memory"),
        (TimeLimit("the training was in epoch 0 of 2 after 1 s"), "timeout"),
        (RuntimeError("something that nobody thought of"), "error"),
        (SystemExit(3), "error"),
        (KeyboardInterrupt("of the network"), "error"),
    ],
)
def test_what_a_training_meets(error: BaseException, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = pipeline.train, []

    def train(*arguments: Any, **options: Any) -> Any:
        calls.append(options)
        if len(calls) == 2:  # the first is the original's
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(pipeline, "train", train)
    summary = run_study(CONFIG, tmp_path / "tiny", None, Silent())
    assert (summary.exit_code, summary.finished) == (0, 3)
    rows = optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path / 'tiny/study.db'}").trials
    assert rows[0].user_attrs["outcome"] == outcome
    assert str(error) in rows[0].user_attrs.get("reason", "") + rows[0].user_attrs.get("error", "")
    assert sum(row.user_attrs["outcome"] == "ok" for row in rows) >= 1


def test_an_exit_of_the_original_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> Any:
        sys.exit(7)

    monkeypatch.setattr(pipeline, "train", train)
    with pytest.raises(KasError, match=r"the study's own code ended its worker: SystemExit\(7\)"):
        run_study(CONFIG, tmp_path / "tiny", None, Silent())


def test_a_kernel_slower_than_the_limit_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    trained = []
    real = pipeline.train
    monkeypatch.setattr(pipeline, "train", lambda *a, **k: trained.append(1) or real(*a, **k))
    config = replace(CONFIG, trials=2, cost=replace(CONFIG.cost, max_ratio=1e-3))
    summary = run_study(config, tmp_path / "tiny", None, Silent())
    assert [record.outcome for record in summary.records] == ["too_slow", "too_slow"]
    assert len(trained) == 1  # the original
    assert all("over cost.max_ratio" in (record.reason or "") for record in summary.records)
