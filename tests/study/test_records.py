"""Reading a study: records, the front, the status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
from toy import make_queue

from kas import zoo
from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.storage import records
from kas.study.storage.files import StudyFolder, write_json, write_text
from kas.study.storage.queue import TrialQueue
from kas.study.storage.records import Reference
from kas.study.storage.status import status

PROGRAM = zoo.get("grouped3x3").to_json()
REFERENCE = Reference(accuracy=0.9, latency_ms=10.0, macs=1000, params=10, work=1000.0, device="cpu", epochs=3, seconds=1.0)


def add(q: TrialQueue, key: str, accuracy: float, ratio: float, name: str = "ok") -> None:
    trial = q.start()
    assert isinstance(trial, optuna.Trial)
    q.claim(trial, 16 * key, program=PROGRAM, family=16 * key)
    measured = {"accuracy": accuracy, "ratio": ratio, "latency_ms": 10 * ratio, "speedup": 1 / ratio, "macs": 5, "params": 7}
    assert q.finish(trial, Outcome(name, values=(accuracy, ratio), attributes=measured))


def study(tmp_path: Path) -> TrialQueue:
    q = make_queue(None, tmp_path, wanted=20)
    for key, accuracy, ratio, name in (
        ("a", 0.9, 0.8, "ok"),
        ("b", 0.8, 0.5, "ok"),
        ("c", 0.7, 0.6, "ok"),  # dominated by b
        ("d", 0.99, 0.1, "too_slow"),
        ("e", 0.0, 0.0001, "duplicate"),
        ("f", 0.0, 0.0001, "error"),
    ):
        add(q, key, accuracy, ratio, name)
    return q


def test_front_and_counts(tmp_path: Path) -> None:
    q = study(tmp_path)
    read = records.read(q.study)
    assert [record.hash for record in records.front(read)] == [16 * "b", 16 * "a"]
    assert records.finished(q.study) == 4
    assert [record.is_finished for record in read] == [True, True, True, True, False, False]
    assert (read[3].cost, read[0].cost, read[0].macs) == (None, 0.8, 5)


def test_status(tmp_path: Path) -> None:
    q = study(tmp_path)
    assert status(q.study, tmp_path)["original"] == {"accuracy": None, "latency_ms": None}
    q.study.set_user_attr(keys.TRIALS, 20)
    q.study.set_user_attr(keys.REFERENCE, json.dumps(REFERENCE.to_dict()))
    running = q.start()
    assert isinstance(running, optuna.Trial)
    found = status(q.study, tmp_path)
    assert {key: found[key] for key in ("name", "finished", "running", "trials", "outcomes", "original")} == {
        "name": "toy",
        "finished": 4,
        "running": 1,
        "trials": 20,
        "outcomes": {"duplicate": 1, "error": 1, "ok": 3, "too_slow": 1},
        "original": {"accuracy": 0.9, "latency_ms": 10.0},
    }
    assert found["front"][0] == {
        "hash": 16 * "b",
        "name": None,
        "formula": "group G -> conv3x3",
        "accuracy": 0.8,
        "latency_ms": 5.0,
        "macs": 5,
        "params": 7,
        "speedup": 2.0,
        "json": str(tmp_path / "kernels" / f"{16 * 'b'}.json"),
        "runtimes": {"eager": 2.0},
    }
    json.dumps(found)
    q.storage.set_trial_user_attr(running._trial_id, keys.OWNER, {**running.user_attrs[keys.OWNER], "start": 1})
    assert status(q.study, tmp_path)["running"] == 0


def test_equal_points_are_listed_once_for_each_kernel(tmp_path: Path) -> None:
    q = make_queue(None, tmp_path, wanted=20)
    add(q, "a", 0.5, 0.5)
    add(q, "b", 0.5, 0.5)
    assert [record.hash for record in records.front(records.read(q.study))] == [16 * "a", 16 * "b"]


def test_reference_survives_json_and_later_keys() -> None:
    assert Reference.from_dict({**REFERENCE.to_dict(), "later": 1}) == REFERENCE


def test_reading_needs_no_torch() -> None:
    modules = "kas.study.storage.records, kas.study.storage.opening, kas.study.display.events"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_files_are_written_in_one_step(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "runs" / "a")
    path = write_json(folder.kernel("abc", ".json"), {"a": "é"})
    assert path.read_text(encoding="utf-8") == '{\n  "a": "é"\n}\n'
    write_text(path, "b")
    assert [item.name for item in path.parent.iterdir()] == ["abc.json"]
    assert path.stat().st_mode & 0o444 == 0o444
