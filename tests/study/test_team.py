"""The further processes of `run --workers`: started once, heard, waited for, interrupted, never left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from kas.study.display.events import Silent
from kas.study.storage.records import Reference
from kas.study.workers.team import Team

REFERENCE = Reference(accuracy=0.9, latency_ms=1.0, macs=1, params=1, work=1.0, device="cpu", epochs=1)
SLEEPER = """
import sys, time, pathlib
from kas.study.workers.team import end_with_parent
end_with_parent()
print("ready", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).write_text("interrupted")
    sys.exit(130)
"""


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while not any(text in heard for heard in self.texts):
            assert time.monotonic() < deadline, self.texts
            time.sleep(0.02)


def test_what_workers_print_is_passed_on_and_they_are_waited_for() -> None:
    heard = Heard()
    with Team([sys.executable, "-c", "print('hello')"], 2, heard) as team:
        team.reference_ready(REFERENCE)
        team.reference_ready(REFERENCE)
    assert sorted(heard.texts) == ["[worker 2] hello", "[worker 3] hello"]


def test_a_worker_that_fails_is_reported() -> None:
    heard = Heard()
    with Team([sys.executable, "-c", "raise SystemExit(3)"], 1, heard) as team:
        team.reference_ready(REFERENCE)
    assert heard.texts == ["[worker 2] ended with exit code 3; the others go on"]


def test_none_starts_before_the_reference_is_ready() -> None:
    heard = Heard()
    with Team([sys.executable, "-c", "print('hello')"], 2, heard):
        pass
    assert heard.texts == []


def test_an_interruption_reaches_each_worker(tmp_path: Path) -> None:
    heard = Heard()
    with suppress(KeyboardInterrupt), Team([sys.executable, "-c", SLEEPER, str(tmp_path / "a")], 1, heard) as team:
        team.reference_ready(REFERENCE)
        heard.wait_for("ready")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_text() == "interrupted"


def test_a_killed_first_process_takes_its_workers_along(tmp_path: Path) -> None:
    first = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_team import REFERENCE, SLEEPER, Heard, Team
heard = Heard()
team = Team([sys.executable, "-c", SLEEPER, sys.argv[1]], 1, heard)
team.reference_ready(REFERENCE)
heard.wait_for("ready")
print("started", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", first, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.kill()
    deadline = time.monotonic() + 30
    while not (tmp_path / "a").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
