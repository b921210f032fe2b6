"""A study in each runtime: what is recorded, what is prepared once, what a runtime that is missing or refuses does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_session import CONFIG, run
from torch import Tensor, nn

from kas.evaluation.runtimes import RUNTIMES, Refusal, Runtime, make_runtime
from kas.language import KasError
from kas.study.config import StudyConfig
from kas.study.storage.files import StudyFolder
from kas.study.workers.bench import Bench


def config(runtime: str, **changes: Any) -> StudyConfig:
    return replace(CONFIG, trials=1, cost=replace(CONFIG.cost, runtime=runtime, **changes))


class OnlyTheOriginal(Runtime):
    """Takes the first network and refuses all others."""

    name = "onnxruntime"
    memory_formats = ("contiguous",)
    taken = 0
    most = 1

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "picky 1.0"

    def _prepare(self, network: nn.Module, example: Tensor) -> Callable[[], Any]:
        type(self).taken += 1
        if self.taken > self.most:
            raise Refusal(f"picky does not take {type(network).__name__}: no such operator")
        return lambda: network(example)


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> type[OnlyTheOriginal]:
    monkeypatch.setattr("kas.study.workers.bench.make_runtime", lambda name, device: OnlyTheOriginal(device))
    monkeypatch.setattr(OnlyTheOriginal, "taken", 0)
    return OnlyTheOriginal


@pytest.mark.system
@pytest.mark.parametrize("name", [name for name in RUNTIMES if make_runtime(name).missing() is None])
def test_a_study_in_each_runtime(name: str, tmp_path: Path) -> None:
    summary = run(config(name, memory_format="auto"), tmp_path)
    assert (summary.exit_code, [record.outcome for record in summary.records]) == (0, ["ok"]), summary.records
    (record,) = summary.records
    formats = make_runtime(name).memory_formats
    assert (record.runtime, record.runtime_version) == (name, make_runtime(name).version())
    assert record.memory_format in formats
    assert record.original_format in formats
    assert record.speedup == pytest.approx(1 / record.ratio)
    assert summary.reference is not None
    assert (summary.reference.runtime, summary.reference.runtime_version) == (name, record.runtime_version)
    assert summary.reference.memory_format in formats


def test_by_work_no_runtime_is_recorded_or_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnlyTheOriginal, "missing", lambda self: "never asked for")
    monkeypatch.setattr("kas.study.workers.bench.make_runtime", lambda name, device: OnlyTheOriginal(device))
    by_work = replace(config("onnxruntime"), objectives=replace(CONFIG.objectives, cost="work"))
    summary = run(by_work, tmp_path)
    assert [(record.outcome, record.runtime) for record in summary.records] == [("ok", None)]
    assert summary.reference is not None
    assert summary.reference.runtime is None


def test_the_original_is_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: Counter[str] = Counter()
    real = Runtime.prepare

    def prepare(self: Runtime, network: nn.Module, example: Tensor, memory_format: str = "contiguous") -> Any:
        prepared["original" if network is bench.deployed.model else "candidate"] += 1
        return real(self, network, example, memory_format)

    monkeypatch.setattr(Runtime, "prepare", prepare)
    bench = Bench(config("eager", memory_format="contiguous"), StudyFolder(tmp_path / "bench"))
    first = bench.timed_original()
    assert bench.timed_original() is first
    assert bench.timed_original("eager") is first
    assert bench.timed_original("onnxruntime") is bench.timed_original("onnxruntime") is not first
    assert prepared == {"original": 2}


def test_a_missing_runtime_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kas.evaluation.runtimes.onnxruntime.find_spec", lambda name: None)
    wanted = "onnx onnxscript onnxruntime"
    with pytest.raises(KasError, match=f"^cost.runtime: onnxruntime needs {wanted}: pip install {wanted}$"):
        run(config("onnxruntime"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_refused_original_ends_the_run(picky: type[OnlyTheOriginal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picky, "most", 0)
    with pytest.raises(KasError, match=r"cost\.runtime: picky does not take SmallResNet: no such operator \(the original"):
        run(config("onnxruntime"), tmp_path)


@pytest.mark.usefixtures("picky")
def test_a_refused_candidate_is_infeasible(tmp_path: Path) -> None:
    (record,) = run(config("onnxruntime"), tmp_path).records
    assert (record.outcome, record.reason) == ("infeasible", "picky does not take SmallResNet: no such operator")
    assert record.is_finished
