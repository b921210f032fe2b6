"""Real studies whose workers are killed, hang, exit or are stopped: by the real command. Minutes long."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import psutil
import pytest

from kas.study import attributes as keys
from kas.study.storage.opening import close_storage, open_storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STUDY = """\
name: tiny
trials: 1
data: {name: digits, size: 8, train_samples: 100, val_samples: 50, test_samples: 60}
model: {factory: "net:network"}
targets: {stem: false, adapter: projection}
training: {epochs: 3, time_limit_s: 3.0}
cost: {batch_size: 2, runtime: eager, repeats: 3, max_ratio: 1000.0, other_runtimes: false}
health: {enabled: false}
budget: {}
"""


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "kas.study", *arguments, f"--dir={folder}"]


def outcomes(folder: Path) -> list[tuple[str, str | None, str | None]]:
    storage = open_storage(None, folder / "tiny", create=False)
    try:
        rows = optuna.load_study(study_name="tiny", storage=storage).get_trials()
    finally:
        close_storage(storage)
    return [(row.state.name, row.user_attrs.get(keys.OUTCOME), row.user_attrs.get(keys.REASON)) for row in rows]


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a study with one trial."""
    shutil.copy(Path(__file__).with_name("dying.py"), tmp_path / "net.py")
    (tmp_path / "tiny.yaml").write_text(getattr(request, "param", STUDY))
    done = subprocess.run(command(tmp_path, "run", str(tmp_path / "tiny.yaml")), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "expected", "said"),
    [
        ("hang", "timeout", "gave no sign of progress for "),
        ("exit", "error", "SystemExit: 7"),
        ("crash", None, "worker 1 was killed by SIGABRT; a new one takes its place"),
    ],
)
def test_what_a_network_does_to_its_worker(name: str, expected: str | None, said: str, folder: Path) -> None:
    (folder / name).touch()
    done = subprocess.run(command(folder, "resume", "tiny", "--trials=3"), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
    assert "3 of 3 trials are finished" in done.stdout
    found = outcomes(folder)
    assert found[1][1] == expected
    if name == "hang":
        assert "in its training" in str(found[1][2])
    if name == "crash":
        assert any(outcome == "ok" for _, outcome, _ in found[2:])


@pytest.mark.parametrize("folder", [STUDY.replace(", time_limit_s: 3.0", "")], indirect=True, ids=["no limit"])
def test_workers_are_killed_and_stopped(folder: Path) -> None:
    """kill -9 of one of two workers, SIGSTOP of the other: the study ends whole, and nobody is left."""
    (folder / "slow").touch()
    words = command(folder, "resume", "tiny", "--trials=5", "--workers=2")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        supervisor = psutil.Process(process.pid)
        until(lambda: sum(row[0] == "RUNNING" for row in outcomes(folder)) == 2, process)
        first, second = supervisor.children()
        first.kill()
        second.send_signal(signal.SIGSTOP)
        (folder / "slow").unlink()
        stopped = len([row for row in outcomes(folder) if row[1] is not None])
        until(lambda: len([row for row in outcomes(folder) if row[1] is not None]) > stopped, process)
        second.send_signal(signal.SIGCONT)
        everybody = [supervisor, *supervisor.children(recursive=True)]
        said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "was killed by SIGKILL; a new one takes its place" in said
    assert "5 of 5 trials are finished" in said
    assert not any(one.is_running() for one in everybody)
    assert sum(outcome not in (None, *keys.UNFINISHED_OUTCOMES) for _, outcome, _ in outcomes(folder)) == 5
