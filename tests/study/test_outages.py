"""Restarts of a real PostgreSQL server under real workers, and sections of the study's lock that are cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy
from servers import Server
from toy import make_queue

from kas.study import attributes as keys
from kas.study.storage import outages
from kas.study.storage.claims import Claims
from kas.study.storage.liveness import this_process
from kas.study.storage.mutex import flock
from kas.study.storage.outages import Outages, Unreachable
from kas.study.storage.queue import TrialQueue

pytestmark = pytest.mark.system


def assert_whole(queue: TrialQueue, wanted: int) -> None:
    """Every trial is finished, no kernel twice, none runs."""
    rows = queue.study.get_trials()
    done = [row for row in rows if keys.is_finished(row)]
    assert len(done) == wanted
    assert len({row.user_attrs["hash"] for row in done}) == wanted
    assert not any(row.state.name == "RUNNING" for row in rows)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="fast", marks=pytest.mark.slow),
        pytest.param(signal.SIGQUIT, id="immediate", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, id="kill"),
    ],
)
def test_workers_go_on_after_a_restart(number: int, server: Server, tmp_path: Path) -> None:
    url = server.new_database()
    command = [sys.executable, toy.__file__, url, str(tmp_path), "12", "epoch_s=0.1"]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    log = tmp_path / "evaluations.log"
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    server.stop(number)
    time.sleep(1.5)
    server.start()
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    for text in said:
        first, *_, last = text.splitlines()
        assert first.startswith("the database does not answer since ")
        assert "waiting up to 10 minutes (" in first
        assert last.startswith("the database answers again, after ")
    assert_whole(make_queue(url, tmp_path, wanted=12), 12)
    begun = log.read_text().splitlines()
    assert len(begun) == len({line.split()[1] for line in begun}), "a trial was begun again instead of going on"


def test_patience_ends(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    queue = make_queue(database, tmp_path, outages=Outages(said.append, patience_s=1.5))
    lost = queue.storage._backend.engine

    def connect(*_: Any, **__: Any) -> None:
        raise lost.dialect.dbapi.OperationalError("gone")

    monkeypatch.setattr(lost.dialect, "connect", connect)
    lost.dispose()
    with pytest.raises(Unreachable, match=r"the database has not answered for \d s: gone. What is finished is kept; go on"):
        queue.study.get_trials()
    assert len(said) == 1


WRITES = ("set_trial_state_values", "set_trial_user_attr", "set_study_user_attr", "_create_new_trial", "_set_trial_param")


class Cut:
    """Lets the n-th write of a storage be done, and loses its answer."""

    def __init__(self, queue: TrialQueue) -> None:
        self.left = -1
        for name in WRITES:
            setattr(queue.storage._backend, name, self._cutting(getattr(queue.storage._backend, name)))

    def _cutting(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        from sqlalchemy.exc import OperationalError

        def cut(*arguments: Any, **named: Any) -> Any:
            result = operation(*arguments, **named)
            self.left -= 1
            if self.left == 0:
                raise OperationalError("COMMIT", {}, RuntimeError("server closed the connection unexpectedly"))
            return result

        return cut


@pytest.mark.parametrize("which", range(1, 13))
def test_an_answer_that_is_lost_changes_nothing(which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write of a trial and of a claim in turn: done, but its answer is lost."""
    monkeypatch.setattr(outages, "_POLL_S", 0.0)
    queue = make_queue(None, tmp_path, wanted=1)
    cut = Cut(queue)
    queue.mutex.outages = Outages(patience_s=60.0)
    queue.mutex.outages.guard(queue.storage)
    claims = Claims(queue.study, queue.mutex)
    cut.left = which
    assert claims.attempt("work", lambda: None)
    trial = queue.start()
    trial.suggest_int("x", 0, 9)
    assert queue.claim(trial, "a" * 16, program="{}", family="f") is None
    assert queue.finish(trial, keys.Outcome("ok", values=(0.5, 1.0)))
    assert cut.left <= 0
    assert claims.attempt("work", lambda: None)
    assert_whole(queue, 1)


def test_a_section_that_was_held_up_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = make_queue(None, tmp_path, outages=Outages(patience_s=60.0))
    monkeypatch.setattr(outages, "SECTION_S", 0.2)
    turns: list[int] = []

    def section() -> None:
        turns.append(1)
        if len(turns) == 1:
            time.sleep(0.3)  # stopped meanwhile
        queue.study.set_user_attr("turn", len(turns))

    queue.mutex.do(section)
    assert (turns, queue.study.user_attrs["turn"]) == ([1, 1], 2)


def test_trials_of_other_machines_are_not_dead_after_an_outage(database: str, tmp_path: Path) -> None:
    queue = make_queue(database, tmp_path, wanted=1, grace_s=0.5)
    trial = queue.start()
    queue.storage.set_trial_user_attr(trial._trial_id, keys.OWNER, {**this_process(), "machine": "another"})
    queue.recover()
    time.sleep(0.6)
    queue.mutex.outages.back_at = time.monotonic() + 60  # just now, however long the next line takes
    queue.recover()
    assert not queue.is_lost(trial)
    queue.mutex.outages.back_at = -1e9
    queue.recover()
    assert queue.is_lost(trial)


def test_a_stopped_holder_of_the_studys_lock_is_woken_to_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom kas.study.storage.mutex import flock\n"
        "with flock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(0.5)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGSTOP)
            with flock(path, patience_s=30):
                time.sleep(0.2)
                state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            assert state == "T"  # as it was
        finally:
            os.kill(process.pid, signal.SIGKILL)


def test_a_server_takes_the_lock_of_a_stopped_client_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (make_queue(database, tmp_path, outages=Outages(patience_s=60.0)) for _ in range(2))
    monkeypatch.setattr("kas.study.storage.mutex._TAKEN_BACK_S", 1.0)
    monkeypatch.setattr(outages, "SECTION_S", 0.5)
    turns: list[float] = []

    def section() -> None:
        turns.append(time.monotonic())
        if len(turns) == 1:
            with second.mutex.hold():  # somebody else gets it while this one is held up
                assert 0.9 < time.monotonic() - turns[0] < 30
        first.study.set_user_attr("turn", len(turns))

    first.mutex.do(section)
    assert (len(turns), second.study.user_attrs["turn"]) == (2, 2)
