"""Networks that break a study are searched to the end, or are one clear message before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kas.evaluation.settings import CostSettings, DataSettings, ModelSettings, TrainingSettings
from kas.language import KasError
from kas.study.config import StudyConfig
from kas.study.display.events import Silent, StudySummary
from kas.study.settings import SearchSettings
from kas.study.workers.session import run_study

pytestmark = pytest.mark.system

CONFIG = StudyConfig(
    name="case",
    trials=1,
    device="cpu",
    data=DataSettings(factory="case_studies:Data"),
    training=TrainingSettings(epochs=1),
    cost=CostSettings(batch_size=2, repeats=3, max_ratio=50.0),
    search=SearchSettings(seeds=["depthwise_separable"]),
)


class Messages(Silent):
    """What a study says, and which stages it comes to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)

    def stage(self, number: int | None, name: str, detail: str = "") -> None:
        self.stages.append(name)


def run(folder: Path, factory: str, listener: Silent | None = None, **args: Any) -> StudySummary:
    cost = replace(CONFIG.cost, other_runtimes=factory in ("half", "double"))  # which some of them refuse
    config = replace(CONFIG, model=ModelSettings(factory=f"case_studies:{factory}", args=args), cost=cost)
    return run_study(config, folder / "case", None, listener or Silent())


@pytest.mark.parametrize(
    ("factory", "args"),
    [
        ("half", {}),
        ("double", {}),
        ("lazy", {}),
        ("cyclic", {}),
        ("in_place", {}),
        ("keeps_activation", {}),
        ("dictionary", {"keys": ["out"]}),
        ("dictionary", {"keys": ["aux", "logits"]}),
        ("dictionary", {"keys": ["scores"]}),
    ],
    ids=str,
)
def test_a_study_runs_to_its_end(tmp_path: Path, factory: str, args: dict[str, Any]) -> None:
    summary = run(tmp_path, factory, **args)
    (record,) = summary.records
    assert (summary.exit_code, record.outcome) == (0, "ok"), record
    assert record.accuracy is not None
    assert summary.reference is not None
    assert summary.reference.latency_ms is not None


def test_a_frozen_network_says_so_and_the_replaced_layers_are_trained(tmp_path: Path) -> None:
    listener = Messages()
    summary = run(tmp_path, "frozen", listener)
    assert [record.outcome for record in summary.records] == ["ok"], summary.records
    assert [line for line in listener.lines if "can be trained" in line] == [
        "no parameter of Sequential requires a gradient: nothing can be trained but the replaced layers, and they are"
    ]
    (exported,) = (tmp_path / "case" / "kernels").glob("*.ckpt")
    reference = tmp_path / "case" / "reference" / "last.ckpt"
    after, before = (torch.load(path, weights_only=True)["state_dict"] for path in (exported, reference))
    assert all(torch.equal(after[key], before[f"model.{key}"]) for key in ("0.weight", "8.weight", "4.bias"))
    assert after["3.bias"].abs().sum() > 0  # zeros before the training


@pytest.mark.parametrize(
    ("factory", "args", "message"),
    [
        ("walks_by_type", {}, r"WalksByType would not call layers\.1 any more"),
        ("dictionary", {"keys": ["a", "b"]}, r"dictionary with the tensors \['a', 'b'\]; expected one, or the key 'out' or"),
    ],
)
def test_one_message_before_anything_is_trained(tmp_path: Path, factory: str, args: dict[str, Any], message: str) -> None:
    listener = Messages()
    with pytest.raises(KasError, match=message):
        run(tmp_path, factory, listener, **args)
    assert listener.stages == []
    assert not (tmp_path / "case").exists()
