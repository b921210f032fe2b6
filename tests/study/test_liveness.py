"""Who is alive: processes here, and counters of processes elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from kas.study.storage import liveness
from kas.study.storage.liveness import Beat, Watch, is_alive, this_process


def test_this_process_lives() -> None:
    assert is_alive(this_process()) is True


@pytest.mark.parametrize("change", [{"start": 1}, {"pid": 2**22 + 1}])
def test_another_process_with_the_same_pid_or_none_is_dead(change: dict[str, int]) -> None:
    assert is_alive({**this_process(), **change}) is False


@pytest.mark.parametrize("owner", [{}, {"pid": "1"}, {**this_process(), "machine": "another"}, {**this_process(), "pid": None}])
def test_what_cannot_be_seen_from_here(owner: dict[str, object]) -> None:
    assert is_alive(owner) is None


def test_a_killed_child_is_dead_though_nobody_collected_it() -> None:
    code = "from kas.study.storage.liveness import this_process; print(this_process(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    owner = eval(child.stdout.readline())
    assert is_alive(owner) is True
    child.kill()
    deadline = time.monotonic() + 10
    while is_alive(owner) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_alive(owner) is False  # a zombie
    child.communicate()
    assert is_alive(owner) is False


def test_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(liveness, "_PROC", tmp_path_factory.mktemp("no_proc"))
    assert is_alive(this_process()) is True
    assert is_alive({**this_process(), "start": 5}) is False
    assert this_process()["pid"] == os.getpid()


def test_a_counter_must_stand_still_for_the_grace_period_while_watched() -> None:
    now = [0.0]
    watch = Watch(10, clock=lambda: now[0])
    assert not watch.stands_still("a", 1)
    now[0] = 9
    assert not watch.stands_still("a", 1)
    assert not watch.stands_still("a", 2)
    now[0] = 18.9
    assert not watch.stands_still("a", 2)
    assert not watch.stands_still("b", 7)
    now[0] = 19
    assert watch.stands_still("a", 2)


def test_beats_go_on_after_a_failure() -> None:
    signs = []

    def sign() -> None:
        signs.append(None)
        if len(signs) == 1:
            raise ConnectionError("no answer")

    with Beat(sign, 0.01) as beat:
        deadline = time.monotonic() + 10
        while len(signs) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert len(signs) >= 3
    assert beat.failure is None
