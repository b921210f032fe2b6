"""`cost.fused`: what is timed, of the original and of each candidate alike, is the inference form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_session import CONFIG
from torch import nn

from kas.evaluation.runtimes import Runtime
from kas.study.config import StudyConfig
from kas.study.display.events import Silent
from kas.study.workers.session import run_study


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("fused", [True, False])
def test_both_networks_are_timed_in_the_same_form(fused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[int] = []
    real = Runtime.prepare

    def prepare(self: Runtime, network: nn.Module, example: torch.Tensor, memory_format: str) -> Any:
        timed.append(norms(network))
        return real(self, network, example, memory_format)

    monkeypatch.setattr(Runtime, "prepare", prepare)
    config = replace(CONFIG, trials=1, cost=replace(CONFIG.cost, fused=fused))
    summary = run_study(config, tmp_path / "tiny", None, Silent())
    assert [record.outcome for record in summary.records] == ["ok"]
    assert len(timed) >= 2  # the original and the candidate
    assert all((count == 0) is fused for count in timed)


def test_the_setting_is_off_and_part_of_the_study() -> None:
    assert StudyConfig(name="new").cost.fused is False
    read = StudyConfig.from_dict({**CONFIG.to_dict(), "cost": {**CONFIG.to_dict()["cost"], "fused": True}})
    assert read.cost.fused is True
    old = CONFIG.to_dict()
    del old["cost"]["fused"]  # a study of a kas that did not have it
    assert StudyConfig.from_dict(old).to_dict() == CONFIG.to_dict()
