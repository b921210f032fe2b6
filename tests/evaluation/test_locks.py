"""The device lock between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kas.evaluation import DeviceLock
from kas.language.errors import KasError


@contextmanager
def holder(folder: Path, kind: str, body: str = "time.sleep(60)") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock and has said so."""
    code = (
        "import sys, time\nfrom kas.evaluation.locks import DeviceLock\nlock = DeviceLock(sys.argv[1])\n"
        f"with lock.{kind}():\n    print('held', flush=True)\n    {body}\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(60)  # it would wait for ever
def test_trainings_share_the_device(tmp_path: Path) -> None:
    with holder(tmp_path, "shared") as other, DeviceLock(tmp_path).shared():
        assert other.poll() is None


@pytest.mark.parametrize(("theirs", "ours"), [("shared", "exclusive"), ("exclusive", "shared"), ("exclusive", "exclusive")])
def test_a_measurement_is_alone_and_death_lets_go(tmp_path: Path, theirs: str, ours: str) -> None:
    with holder(tmp_path, theirs) as process:
        killed_at = []

        def kill(*_: object) -> None:
            killed_at.append(time.monotonic())
            os.kill(process.pid, signal.SIGKILL)

        before = signal.signal(signal.SIGALRM, kill)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            with getattr(DeviceLock(tmp_path), ours)():
                assert killed_at
        finally:
            signal.signal(signal.SIGALRM, before)


@pytest.mark.timeout(120)  # it would wait for as long as there are batches
def test_a_stream_of_batches_does_not_starve_a_measurement(tmp_path: Path) -> None:
    batches = "pass\nwhile True:\n    with lock.shared():\n        time.sleep(0.02)"
    with holder(tmp_path, "shared", batches), holder(tmp_path, "shared", batches):
        lock = DeviceLock(tmp_path)
        for _ in range(5):
            with lock.exclusive():
                pass


@pytest.mark.timeout(60)  # it would wait for ever
@pytest.mark.parametrize(("theirs", "ours"), [("shared", "exclusive"), ("exclusive", "shared"), ("exclusive", "exclusive")])
def test_a_stopped_holder_is_passed_over(tmp_path: Path, theirs: str, ours: str, caplog: pytest.LogCaptureFixture) -> None:
    with holder(tmp_path, theirs) as process:
        process.send_signal(signal.SIGSTOP)
        waits: list[int] = []
        lock = DeviceLock(tmp_path, lambda: waits.append(1))
        for _ in range(2):
            with getattr(lock, ours)():
                pass
    assert waits
    (text,) = {record.getMessage().split(", which")[0] for record in caplog.records}
    assert text == f"the device's lock in {tmp_path} is held by process {process.pid}"


def test_a_lock_that_is_held_for_very_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kas.evaluation.locks.PATIENCE_S", 1.0)
    with holder(tmp_path, "exclusive") as process:
        begun = time.monotonic()
        with DeviceLock(tmp_path).exclusive():
            assert process.poll() is None
        assert time.monotonic() - begun > 1.0


def test_is_not_reentrant_and_release_is_harmless(tmp_path: Path) -> None:
    lock = DeviceLock(tmp_path / "new" / "locks")
    lock.release()
    with lock.shared(), pytest.raises(KasError, match=r"already held \(shared\); exclusive was asked for"):
        lock.acquire_exclusive()
    with lock.exclusive():
        pass
    lock.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(KasError, match="lock files of the device cannot be made"):
        DeviceLock(tmp_path / "file")
