"""A tiny real search whose front is measured in every runtime, and `measure` on a copy of its folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from kas import zoo
from kas.evaluation.runtimes import RUNTIMES
from kas.reporting import wording
from kas.study.__main__ import main
from kas.study.config import StudyConfig
from kas.study.storage import measurements
from kas.study.storage.create import create_or_join
from kas.study.storage.files import StudyFolder
from kas.study.storage.opening import close_storage, open_mutex, open_storage

pytestmark = pytest.mark.system

STUDY = """\
format: kas.study/1
name: tiny
trials: 2
device: cpu
data: {name: digits, size: 8, train_samples: 100, val_samples: 50}
model: {args: {width: 8, stages: 1}}
training: {epochs: 1}
cost: {size: 8, batch_size: 2, repeats: 3, min_block_ms: 1, max_ratio: 1000}
health: {enabled: false}
search: {seeds: [depthwise_separable, bottleneck]}
"""
NUMBERS = {"latency_ms", "original_latency_ms", "ratio", "ratio_low", "ratio_high", "speedup", "measured"}


def command(*words: str, cwd: Path, columns: int = 140) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": str(columns)}
    line = [sys.executable, "-m", "kas.study", *words]
    done = subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder after a search, and what the search printed."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "tiny.yaml").write_text(STUDY)
    return folder, command("run", "tiny.yaml", cwd=folder)


def test_a_search_ends_with_the_front_in_every_runtime(searched: tuple[Path, str]) -> None:
    folder, printed = searched
    state = json.loads(command("status", "tiny", "--json", cwd=folder))
    assert state["front"]
    for entry in state["front"]:
        assert list(entry["runtimes"]) == list(RUNTIMES)
        assert entry["runtimes"]["eager"] == entry["speedup"]
        assert all(speedup > 0 for speedup in entry["runtimes"].values())
    assert re.search(r"measuring \d kernels of the front in compile", printed)
    head = next(line.split() for line in printed.splitlines() if line.startswith("kernel "))
    assert [name for name in head if name in RUNTIMES] == ["compile", "onnxruntime"]
    assert "replaces stages.0.0.conv{1,2}: 2 layers" in printed
    report = (folder / "runs/tiny/report.html").read_text()
    assert "".join(f'<th class="number">{name}</th>' for name in ("Speed-up (eager)", "compile", "onnxruntime")) in report
    assert "inductor of torch" in report


def test_going_on_measures_nothing_again(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    assert "measuring" not in command("resume", "tiny", cwd=folder)


def test_measuring_needs_a_copied_folder_alone(searched: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = searched
    shutil.copytree(folder / "runs/tiny", tmp_path / "copied/tiny")
    for name in ("reference", "trials", "kernels", "report.html", "locks"):
        place = tmp_path / "copied/tiny" / name
        shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(missing_ok=True)
    place = ["tiny", "--dir", "copied"]
    before = command("status", *place, "--json", cwd=tmp_path)
    words = ("--batch", "1", "--threads", "1", "--runtime", "onnxruntime", "--runtime", "eager")
    printed = command("measure", *place, *words, cwd=tmp_path, columns=80)
    assert command("status", *place, "--json", cwd=tmp_path) == before, "the search's own numbers stay"
    assert re.search(r"^onnxruntime \S+ \(CPU\), batch 1, 1 thread, on .+$", printed, re.MULTILINE)
    found = measurements.read(StudyFolder(tmp_path / "copied/tiny"))
    assert [one["runtime"] for one in found] == ["eager", "onnxruntime"]
    front = [entry["hash"] for entry in json.loads(before)["front"]]
    for one in found:
        assert (one["batch_size"], one["threads"], list(one["kernels"])) == (1, 1, front)
        assert all(set(kernel) >= NUMBERS for kernel in one["kernels"].values())
        assert f"{one['kernels'][front[0]]['speedup']:.2f}×" in printed
    report = (tmp_path / "copied/tiny/report.html").read_text()
    assert '<table id="measurements" class="stack">' in report
    assert all(wording.milliseconds(one["kernels"][front[0]]["latency_ms"]) in report for one in found)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A study `demo` with a kernel that was never solved, and none on the front."""
    folder = tmp_path / "runs" / "demo"
    storage, mutex = open_storage(None, folder), open_mutex(None, folder, "demo")
    study = create_or_join(StudyConfig(name="demo", trials=5, device="cpu"), storage, mutex)
    kernel = zoo.get("ghost")
    attributes = {"hash": kernel.hash, "program": kernel.to_json(), "outcome": "infeasible", "reason": "macs: too few"}
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs=attributes))
    mutex.close()
    close_storage(storage)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "study demo has no kernel on its front yet; go on with `resume demo`"),
        (["--runtime", "onxruntime"], "the runtimes are eager, compile, onnxruntime; did you mean onnxruntime?"),
        (["--kernel", "ffff"], "study demo has no kernel 'ffff'; it has "),
        (["--kernel", zoo.get("ghost").hash[:6]], "has no sizes in study demo: macs: too few"),
        (["--batch", "0"], "--batch must be at least 1, not 0"),
        (["--threads", "-1"], "--threads must be at least 1, not -1"),
    ],
)
def test_bad_input_is_one_message(words: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "demo", "--dir", str(runs), *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.fixture
def feasible(runs: Path) -> Path:
    """The same study with a kernel on its front."""
    storage = open_storage(None, runs / "demo")
    study = optuna.load_study(study_name="demo", storage=storage)
    kernel = zoo.get("bottleneck")
    attributes = {"hash": kernel.hash, "program": kernel.to_json(), "outcome": "ok", "sizes": {"groups": 1, "values": {}}}
    study.add_trial(optuna.trial.create_trial(values=[0.9, 0.5], user_attrs=attributes))
    close_storage(storage)
    return runs


def test_a_runtime_that_is_missing_is_an_error_where_it_is_asked_for(
    feasible: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kas.evaluation.runtimes.compile import Compile

    monkeypatch.setattr(Compile, "missing", lambda self: "compile needs a C++ compiler: install g++")
    assert main(["measure", "demo", "--dir", str(feasible), "--runtime", "compile"]) == 2
    assert capsys.readouterr().err == "error: --runtime compile: compile needs a C++ compiler: install g++\n"


def test_what_was_measured_before_under_the_same_conditions_stays(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    conditions: dict[str, Any] = {"device": "../A (R) CPU @ 2.7GHz", "runtime": "eager", "batch_size": 8, "threads": 2}
    path = measurements.keep(folder, {**conditions, "kernels": {"a": {"ratio": 0.5}, "b": {"ratio": 0.6}}})
    assert path == tmp_path / "measurements" / "A-R-CPU-2-7GHz-eager-batch8-threads2.json"
    assert measurements.keep(folder, {**conditions, "kernels": {"b": {"ratio": 0.7}}}) == path
    (tmp_path / "measurements" / "other.json").write_text("no JSON")
    (found,) = measurements.read(folder)
    assert found["kernels"] == {"a": {"ratio": 0.5}, "b": {"ratio": 0.7}}
