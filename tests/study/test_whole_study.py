"""Whole studies by the real command: killed and resumed, repeated, shared by two workers on PostgreSQL. Minutes long."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from kas.study import attributes as keys
from kas.study.storage.opening import close_storage, open_storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parent.parent.parent
SMALL = ("data.train_samples=300", "data.val_samples=150", "training.epochs=2", "cost.size=16", "cost.batch_size=2")


def command(folder: Path, *arguments: str, sets: tuple[str, ...] = ()) -> list[str]:
    changes = [word for change in sets for word in ("--set", change)]
    return [sys.executable, "-m", "kas.study", *arguments, f"--dir={folder}", *changes]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)


def trials(url: str, name: str = "digits") -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(url, Path(), create=False)
    try:
        return optuna.load_study(study_name=name, storage=storage).get_trials()
    finally:
        close_storage(storage)


def settled(url: str) -> dict[str, tuple[Any, ...]]:
    """Of every finished trial: what must never change."""
    return {t.user_attrs["hash"]: (t.number, t.values, t.params, t.user_attrs) for t in trials(url) if keys.is_finished(t)}


def wait_for_an_epoch(process: subprocess.Popen[bytes], folder: Path, url: str, finished: int) -> None:
    """Until so many trials are finished and the next one has just saved its first epoch."""
    while not (folder / "digits/reference/last.ckpt").exists():
        time.sleep(0.1)
        assert process.poll() is None, "the study ended before it could be killed"
    storage = open_storage(url, Path(), create=False)
    study = optuna.load_study(study_name="digits", storage=storage)
    missing: set[Path] = set()
    try:
        while not any(path.exists() for path in missing):
            assert process.poll() is None, "the study ended before it could be killed"
            rows = study.get_trials(deepcopy=False)
            if sum(map(keys.is_finished, rows)) >= finished:
                hashes = [t.user_attrs["hash"] for t in rows if keys.is_running(t) and "hash" in t.user_attrs]
                paths = {folder / "digits/trials" / key / "last.ckpt" for key in hashes}
                missing = {path for path in paths if not path.exists()} or missing
    finally:
        close_storage(storage)


def test_killed_twice_in_a_training_and_resumed(tmp_path: Path) -> None:
    url, log = f"sqlite:///{tmp_path / 'digits/study.db'}", tmp_path / "out.txt"
    before: dict[str, tuple[Any, ...]] = {}
    for arguments in (("run", "studies/digits.yaml", "--trials=12"), ("resume", "digits")):
        process = start(command(tmp_path, *arguments), log)
        wait_for_an_epoch(process, tmp_path, url, finished=len(before) + 2)
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.kill()
        process.wait()
        for key, value in before.items():
            assert settled(url)[key] == value
        before = settled(url)
    done = subprocess.run(command(tmp_path, "resume", "digits"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    after = settled(url)
    assert len(after) == 12
    assert len([t for t in trials(url) if keys.is_finished(t)]) == 12
    for key, value in before.items():
        assert after[key] == value
    retries = [t for t in trials(url) if keys.RETRY_OF in t.user_attrs]
    resumed = [t.user_attrs.get("resumed_from_epoch") for t in retries if t.user_attrs.get("outcome") == "ok"]
    assert len(retries) >= 2
    assert resumed
    assert all(epoch is not None and epoch >= 1 for epoch in resumed)
    assert re.search(r"goes on from epoch \d of 6", (tmp_path / "digits/log.txt").read_text())
    status = json.loads(subprocess.run(command(tmp_path, "status", "digits", "--json"), capture_output=True, text=True).stdout)
    assert (status["finished"], status["trials"], status["running"]) == (12, 12, 0)


def test_a_study_of_analytic_cost_can_be_repeated_exactly(tmp_path: Path) -> None:
    found = []
    for turn in ("first", "second"):
        folder = tmp_path / turn
        words = command(folder, "run", "studies/digits.yaml", "--trials=14", "--seed=3", sets=(*SMALL, "objectives.cost=work"))
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        rows = trials(f"sqlite:///{folder / 'digits/study.db'}")
        found.append([(t.number, t.user_attrs["hash"], t.user_attrs["outcome"], t.values, t.params) for t in rows])
    assert found[0] == found[1]
    status = json.loads(
        subprocess.run(command(tmp_path / "first", "status", "digits", "--json"), capture_output=True, text=True).stdout
    )
    assert status["front"]
    assert all(kernel["latency_ms"] is None and kernel["speedup"] is None for kernel in status["front"])


def test_two_commands_share_a_study_on_postgresql(tmp_path: Path, database: str) -> None:
    sets = (*SMALL, "cost.max_ratio=50")
    words = command(tmp_path, "run", "studies/digits.yaml", "--trials=10", f"--storage={database}", sets=sets)
    workers = [start(words, tmp_path / f"out{i}.txt") for i in (0, 1)]
    assert [worker.wait(timeout=1200) for worker in workers] == [0, 0], (tmp_path / "out0.txt").read_text()
    rows = trials(database)
    finished = [t for t in rows if keys.is_finished(t)]
    assert len(finished) == 10
    assert max(Counter(t.user_attrs["hash"] for t in finished).values()) == 1
    assert len({t.user_attrs["owner"]["pid"] for t in rows}) == 2
