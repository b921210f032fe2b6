"""The front in every runtime at the end of a search: what is measured, what is kept, what a killed process loses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from toy import make_queue

from kas import zoo
from kas.evaluation import OutOfMemory, Paired
from kas.evaluation.runtimes import Refusal
from kas.language import Kernel
from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.display.events import Silent
from kas.study.storage import records
from kas.study.storage.status import runtimes, status
from kas.study.workers import front

KERNELS = [zoo.get(name) for name in ("grouped3x3", "bottleneck")]
FIRST, SECOND = (kernel.hash for kernel in KERNELS)


class Runtime(SimpleNamespace):
    """A runtime whose version and reason for being missing are set by hand."""

    def missing(self) -> str | None:
        return self.absent

    def version(self) -> str:
        return f"{self.name} {self.number}"


class Machine:
    """Runtimes, a bench and a `measure` that count and may refuse, run out of memory, or be interrupted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.measured: list[tuple[str, str]] = []
        self.messages: list[str] = []
        self.failures: dict[tuple[str, str], BaseException] = {}
        self.refused: dict[str, str] = {}
        self.runtimes = {name: Runtime(name=name, number=1, absent=None) for name in ("eager", "compile", "onnxruntime")}
        self.bench: Any = SimpleNamespace(
            measures=True,
            device="cpu",
            config=SimpleNamespace(cost=SimpleNamespace(runtime="eager", other_runtimes=True)),
            timed_original=self.original,
            solve=lambda kernel: (None, None),
        )
        monkeypatch.setattr(front, "make_runtime", lambda name, device: self.runtimes[name])
        monkeypatch.setattr(front, "measure", self.measure)

    def original(self, runtime: str) -> Any:
        if runtime in self.refused:
            raise Refusal(self.refused[runtime])
        return SimpleNamespace(memory_format="channels_last")

    def measure(self, bench: Any, kernel: Kernel, sizes: Any, runtime: str = "eager") -> Paired:
        if (failure := self.failures.pop((runtime, kernel.hash), None)) is not None:
            raise failure
        self.measured.append((runtime, kernel.hash))
        return Paired(10.0, 5.0, 0.5, 0.4, 0.6, 15, True, runtime, f"{runtime} 1", "channels_last", "contiguous")

    def run(self, study: optuna.Study) -> list[tuple[str, str]]:
        """What one more end of a search measures."""
        self.measured, self.messages = [], []
        listener = Silent()
        listener.message = self.messages.append  # type: ignore[method-assign]
        front.measure_in_other_runtimes(study, self.bench, listener)
        return self.measured


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """Two kernels, both on the front and measured in the study's runtime."""
    q = make_queue(None, tmp_path, wanted=9)
    for kernel, accuracy, ratio in zip(KERNELS, (0.8, 0.9), (0.5, 0.8), strict=True):
        add(q, kernel, accuracy, ratio)
    return q.study


def add(q: Any, kernel: Kernel, accuracy: float, ratio: float) -> None:
    trial = q.start()
    q.claim(trial, kernel.hash, program=kernel.to_json(), family=kernel.family)
    measured = {"accuracy": accuracy, "ratio": ratio, "speedup": 1 / ratio}
    assert q.finish(trial, Outcome("ok", values=(accuracy, ratio), attributes=measured))


def found(study: optuna.Study) -> dict[str, dict[str, Any]]:
    return {str(record.hash): dict(record.runtimes) for record in records.front(records.read(study))}


def test_each_member_is_measured_once_in_each_other_runtime(machine: Machine, study: optuna.Study) -> None:
    assert machine.run(study) == [(name, key) for name in ("compile", "onnxruntime") for key in (FIRST, SECOND)]
    assert machine.messages == [f"measuring 2 kernels of the front in {name}" for name in ("compile", "onnxruntime")]
    entry = found(study)[FIRST]["compile"]
    assert (entry["speedup"], entry["latency_ms"], entry["ratio_high"], entry["measured"]) == (2.0, 5.0, 0.6, 1)
    assert (entry["version"], entry["memory_format"], entry["original_format"]) == ("compile 1", "contiguous", "channels_last")
    assert records.read(study)[0].ratio == 0.5, "the study's own numbers stay"
    assert list(runtimes(study)) == ["eager", "compile", "onnxruntime"]
    assert runtimes(study)["compile"] == {"version": "compile 1", "memory_format": "channels_last"}
    assert machine.run(study) == []


@pytest.mark.parametrize("cut", [(name, key) for name in ("compile", "onnxruntime") for key in (FIRST, SECOND)])
def test_a_killed_process_loses_one_measurement(cut: tuple[str, str], machine: Machine, study: optuna.Study) -> None:
    machine.failures[cut] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        machine.run(study)
    before = machine.measured
    after = machine.run(study)
    assert after[0] == cut
    assert before + after == [(name, key) for name in ("compile", "onnxruntime") for key in (FIRST, SECOND)]


def test_only_what_is_new_on_the_front_is_measured(machine: Machine, study: optuna.Study, tmp_path: Path) -> None:
    machine.run(study)
    kernel = zoo.get("ghost")
    add(make_queue(None, tmp_path, wanted=9), kernel, 0.95, 0.9)
    assert machine.run(study) == [("compile", kernel.hash), ("onnxruntime", kernel.hash)]


@pytest.mark.parametrize("failure", [Refusal("compile does not take Net: no such op"), OutOfMemory("out of memory while x")])
def test_a_kernel_that_is_refused_is_recorded(
    failure: Exception, machine: Machine, study: optuna.Study, tmp_path: Path
) -> None:
    machine.failures["compile", FIRST] = failure
    machine.run(study)
    assert found(study)[FIRST]["compile"] == {"refused": str(failure)}
    assert f"{FIRST}: {failure}" in machine.messages
    speedups = {entry["hash"]: entry["runtimes"] for entry in status(study, tmp_path)["front"]}
    assert speedups[FIRST] == {"eager": 2.0, "compile": None, "onnxruntime": 2.0}
    assert speedups[SECOND] == {"eager": 1.25, "compile": 2.0, "onnxruntime": 2.0}
    assert machine.run(study) == []


def test_a_runtime_that_refuses_the_original_is_recorded_and_tried_again_when_it_is_another(
    machine: Machine, study: optuna.Study
) -> None:
    machine.refused["onnxruntime"] = "onnxruntime does not take Net: no such op"
    assert machine.run(study) == [("compile", FIRST), ("compile", SECOND)]
    assert machine.messages[-1] == "the front is not measured in onnxruntime: onnxruntime does not take Net: no such op"
    known = {"version": "onnxruntime 1", "refused": machine.refused.pop("onnxruntime")}
    assert runtimes(study)["onnxruntime"] == known
    assert machine.run(study) == []
    assert machine.messages == []
    machine.runtimes["onnxruntime"].number = 2
    assert machine.run(study) == [("onnxruntime", FIRST), ("onnxruntime", SECOND)]


def test_a_runtime_that_is_not_installed_is_said(machine: Machine, study: optuna.Study) -> None:
    machine.runtimes["compile"].absent = "compile needs a C++ compiler: install g++"
    assert {runtime for runtime, _ in machine.run(study)} == {"onnxruntime"}
    assert machine.messages[0] == "the front is not measured in compile: compile needs a C++ compiler: install g++"
    assert list(runtimes(study)) == ["eager", "onnxruntime"]


def test_analytic_work_measures_nothing(machine: Machine, study: optuna.Study) -> None:
    machine.bench.measures = False
    assert machine.run(study) == []
    assert keys.RUNTIMES not in study.user_attrs
