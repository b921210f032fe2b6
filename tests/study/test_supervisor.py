"""The supervisor of worker processes: what they tell is shown, who dies or hangs is replaced, nobody is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import works

from kas.language import KasError
from kas.study.display.events import Silent
from kas.study.workers import supervisor, watchdog
from kas.study.workers.supervisor import Supervisor
from kas.study.workers.watchdog import Watchdog, patience_s

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.stages: list[tuple[Any, ...]] = []

    def message(self, text: str) -> None:
        self.texts.append(text)

    def stage(self, number: int | None, name: str, detail: str = "") -> None:
        self.stages.append((number, name, detail))


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_workers_tell_and_print_is_shown_once() -> None:
    heard = Heard()
    assert Supervisor(works.talk, heard, 1).run() == 0
    assert sorted(heard.texts) == ["from C", "printed", "said"]
    assert heard.stages == [(None, "training", "now")]
    heard = Heard()
    assert Supervisor(works.talk, heard, 2).run() == 0
    assert sorted(heard.texts) == [f"[worker {n}] {text}" for n in (1, 2) for text in ("from C", "printed", "said")]
    assert heard.stages == [(None, "training", "now")]


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    heard = Heard()
    assert Supervisor(partial(works.die_once, tmp_path), heard).run() == 0
    assert heard.texts == ["worker 1 was killed by SIGKILL; a new one takes its place", "went on"]


def test_a_worker_that_meets_a_defect_is_replaced(tmp_path: Path) -> None:
    heard = Heard()
    assert Supervisor(partial(works.meet_a_defect, tmp_path), heard).run() == 0
    assert heard.texts[-1] == "worker 1 ended with exit code 70; a new one takes its place"
    assert "RuntimeError: not foreseen" in heard.texts


def test_workers_that_always_die_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MOST_DEATHS", 1)
    with pytest.raises(KasError, match=r"^2 workers in a row ended before a trial did, the last: worker 1 was kill") as error:
        Supervisor(works.die, Heard()).run()
    assert error.value.exit_code == 1


def test_bad_input_is_said_once_and_ends_all() -> None:
    with pytest.raises(KasError, match=r"^training.lr: too large$") as error:
        Supervisor(works.refuse, Heard(), 3).run()
    assert error.value.exit_code == 2


def test_a_worker_that_hangs_before_it_has_said_anything_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE_S", 6.0)
    heard = Heard()
    assert Supervisor(partial(works.hang_at_the_start, tmp_path), heard).run() == 0
    assert re.fullmatch(r"worker 1 gave no sign of progress for \d+ s in its start and was ended; a new .*", heard.texts[0])


def test_a_worker_that_hangs_is_ended_and_its_trial_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE_S", 6.0)
    heard, given_up = Heard(), []

    def give_up(number: int, reason: str) -> None:
        process = psutil.Process(int((tmp_path / "pids").read_text().split()[0]))
        given_up.append((number, reason, process.is_running()))

    assert Supervisor(partial(works.hang_once, tmp_path), heard, give_up=give_up).run() == 0
    ((number, reason, running),) = given_up
    assert (number, running) == (7, True)
    assert re.fullmatch(r"no sign of progress for \d+ s in its training", reason)
    until(lambda: not any(psutil.pid_exists(int(pid)) for pid in (tmp_path / "pids").read_text().split()))
    assert heard.texts[-1].endswith("and was ended; a new one takes its place")


def test_a_worker_that_gets_on_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE_S", 6.0)
    heard = Heard()
    assert Supervisor(works.work_slowly, heard).run() == 0
    assert heard.texts == []


def start(name: str, folder: Path, count: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, works.__file__, name, str(folder), str(count)])
    until(lambda: len(list(folder.glob("ready*"))) == count)
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_reaches_each_worker_and_none_is_left(number: int, tmp_path: Path) -> None:
    process = start("wait_for_signal", tmp_path, 2)
    process.send_signal(number)
    assert process.wait(60) == 130
    pids = [int(path.name.removeprefix("ready")) for path in tmp_path.glob("ready*")]
    assert sorted(path.name for path in tmp_path.glob("interrupted*")) == sorted(f"interrupted{pid}" for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_second_signal_kills_who_does_not_hear(tmp_path: Path) -> None:
    process = start("ignore_signals", tmp_path, 1)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - begun < supervisor.ENDING_S / 2
    assert not psutil.pid_exists(int(next(tmp_path.glob("ready*")).name.removeprefix("ready")))


def test_a_killed_supervisor_takes_its_workers_along(tmp_path: Path) -> None:
    process = start("wait_for_signal", tmp_path, 2)
    process.kill()
    process.wait()
    until(lambda: len(list(tmp_path.glob("interrupted*"))) == 2)


@pytest.mark.parametrize(
    ("program", "least", "most"),
    [
        ("import time; time.sleep(60)", 1.5, 9.0),
        ("while True: pass", 0.2, 9.0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", 0.0, 0.5),
    ],
    ids=["asleep", "busy", "stopped"],
)
def test_silence_is_counted_in_own_seconds(program: str, least: float, most: float) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", program]) as process:
        try:
            time.sleep(0.5)
            dog = Watchdog(process.pid)
            dog.look()
            for _ in range(3):
                time.sleep(1.05)
                dog.look()
            assert least <= dog.silent_s <= most
            dog.sign()
            assert dog.silent_s == 0
        finally:
            os.kill(process.pid, signal.SIGKILL)


def test_patience_follows_the_stage_and_the_time_limit() -> None:
    assert patience_s("training", None) == patience_s("kernel", 20.0) == 600
    assert patience_s("training", 20.0) == 25
    assert patience_s("training", 9000.0) == 600
    assert patience_s("latency", 20.0) == 1800
