"""A storage that holds what kas did not write: each row is named and left out, nothing ends, nothing is written elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

from kas import zoo
from kas.reporting import stored
from kas.study.__main__ import main
from kas.study.config import StudyConfig
from kas.study.sampler import KernelSampler
from kas.study.storage import records
from kas.study.storage.create import create_or_join
from kas.study.storage.liveness import this_process
from kas.study.storage.opening import close_storage, open_mutex, open_storage
from kas.study.storage.queue import TrialQueue

KERNELS = [zoo.get(name) for name in ("grouped3x3", "ghost")]
REFERENCE = {"accuracy": 0.9, "latency_ms": 8.0, "macs": 1000, "params": 100, "work": 1e3, "device": "cpu", "epochs": 2}
TARGET = {"name": "conv", "in_channels": 32, "out_channels": 32, "size": [8, 8]}


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


ODD: list[Any] = ["a text", 7, [1, "a"], None, nested(400), float("nan"), 10**30, "../../../x/pwn", {"a": 1}, -1, True]
RIGHT: dict[str, list[Any]] = {  # those of ODD that an attribute may be; None stands for what is not known
    "reason": ["a text", "../../../x/pwn"], "device": ["a text", "../../../x/pwn"], "error": ["a text", "../../../x/pwn"],
    "accuracy": [7, 10**30, -1], "ratio": [7, 10**30, -1], "macs": [7], "epochs": [7], "retry_of": [7], "deaths": [7],
    "died": [True], "health": [{"a": 1}],
}  # fmt: skip
NULL = ("reason", "device", "error", "accuracy", "ratio", "macs", "epochs", "health", "sizes", "values")


def attributes(number: int) -> dict[str, Any]:
    kernel = KERNELS[number]
    return {
        "hash": kernel.hash, "family": kernel.family, "program": kernel.to_json(), "outcome": "ok", "reason": "why",
        "owner": this_process(), "values": [0.8, 0.5], "accuracy": 0.8, "ratio": 0.5, "macs": 1, "epochs": 1, "device": "cpu",
        "sizes": {"groups": 1, "values": {"conv": {}}, "use": {}}, "health": {"gradient": 1.0}, "error": "", "died": False,
        "retry_of": 0, "deaths": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", list(attributes(0)))
def test_each_attribute_of_a_trial(name: str) -> None:
    good = create_trial(values=[0.8, 0.5], user_attrs=attributes(0))
    assert stored.faults(good) == []
    for value in ODD:
        trial = create_trial(values=[0.8, 0.5], user_attrs={**attributes(0), name: value})
        right = repr(value) in map(repr, RIGHT.get(name, [])) or (value is None and name in NULL)
        wrong = stored.faults(trial)
        assert bool(wrong) != right, (name, value)
        assert right or wrong[0].startswith(f"{name} is ")
        assert len("".join(wrong)) < 400


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[TrialQueue]:
    """The queue of a study with two finished trials, the first of which is to be broken."""
    folder = tmp_path / "runs" / "demo"
    storage, mutex = open_storage(None, folder), open_mutex(None, folder, "demo")
    study = create_or_join(StudyConfig(name="demo", trials=5), storage, mutex)
    study.set_user_attr("kas.reference", json.dumps(REFERENCE))
    study.set_user_attr("kas.targets", json.dumps({"deployed": [TARGET], "trained": [TARGET]}))
    for number in (0, 1):
        study.add_trial(create_trial(values=[0.8, 0.5], user_attrs=attributes(number)))
    yield TrialQueue(study, storage, mutex, wanted=5)
    close_storage(storage)
    mutex.close()


def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> str:
    assert main([*arguments, "--dir", str(tmp_path / "runs")]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"),
    [("accuracy", "high"), ("hash", "../../../x/pwn"), ("hash", ["a"]), ("owner", 3), ("program", "[" * 9000)],
)
def test_a_broken_trial_is_named_and_left_out(
    queue: TrialQueue, name: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = queue.study
    queue.storage._backend.engine.dispose()  # type: ignore[attr-defined]
    with queue.storage._backend.engine.begin() as connection:  # type: ignore[attr-defined]
        from sqlalchemy import text

        statement = text("UPDATE trial_user_attributes SET value_json = :value WHERE trial_id = 1 AND key = :key")
        connection.execute(statement, {"value": json.dumps(value), "key": name})
    (line,) = stored.broken(study)
    assert line.startswith(f"trial 0 is left out: {name} is ")
    assert [record.number for record in records.read(study)] == [1]
    assert records.finished(study) == 1
    for arguments in (["status", "demo"], ["list"]):
        assert f"trial 0 is left out: {name} is " in " ".join(said(capsys, tmp_path, *arguments).split())
    assert json.loads(said(capsys, tmp_path, "status", "demo", "--json"))["broken"] == [line]
    before = {path for path in tmp_path.rglob("*") if path.is_dir()}
    said(capsys, tmp_path, "report", "demo")
    assert "trial 0 is left out" in (tmp_path / "runs/demo/report.html").read_text()
    assert {path for path in tmp_path.rglob("*") if path.is_dir()} == before
    trial = queue.start()
    assert isinstance(trial, optuna.Trial)
    assert KernelSampler(seeds=["grouped3x3"]).suggest(trial) == KERNELS[0]


@pytest.mark.parametrize(
    "key", ["config", "front", "reference", "targets", "trials", "runtimes", "ops", "claim.front", "input"]
)
def test_each_attribute_of_a_study(queue: TrialQueue, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = queue.study
    odd = ["{", "../x", -1, 0.5, nested(250), [1], {"a": [1]}]
    for value in odd[:-1] if key == "config" else odd:  # whose keys are checked by who reads them
        study.set_user_attr(f"kas.{key}", value)
        assert stored.attribute(study, f"kas.{key}") is None, value
        (line,) = stored.broken(study)
        assert line.startswith(f"kas.{key} is left out: it is ")
    assert line in " ".join(said(capsys, tmp_path, "status", "demo").split())
    assert records.wanted(study) == 5
    assert len(records.front(records.read(study))) == 2
    assert queue.wanted == 5


def test_one_unreadable_study_does_not_hide_the_others(
    queue: TrialQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs/other").mkdir()
    (tmp_path / "runs/other/study.db").write_text("no database")
    with queue.storage._backend.engine.begin() as connection:  # type: ignore[attr-defined]
        from sqlalchemy import text

        connection.execute(text("UPDATE trial_user_attributes SET value_json = '{' WHERE trial_id = 1"))
    out = said(capsys, tmp_path, "list")
    assert out.count(" unreadable ") == 2
    assert "demo: study demo cannot be read from its storage: JSONDecodeError" in out
