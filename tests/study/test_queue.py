"""The rules by which trials are handed out, requeued and claimed, one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from toy import PROGRAM, make_queue

from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.storage import liveness, queue, records
from kas.study.storage.liveness import this_process
from kas.study.storage.queue import MAX_DEATHS, Nothing, TrialQueue

OK = Outcome("ok", values=(0.5, 1.0))


def begin(q: TrialQueue, key: str | None = "a" * 16) -> optuna.Trial:
    trial = q.start()
    assert isinstance(trial, optuna.Trial)
    trial.suggest_int("x", 0, 9)
    if key:
        assert q.claim(trial, key, program=PROGRAM, family=key) is None
    return trial


def orphan(q: TrialQueue, trial: optuna.Trial, **owner: object) -> None:
    """Let a trial belong to a process that is not there, or is on another machine."""
    q.storage.set_trial_user_attr(trial._trial_id, keys.OWNER, {**this_process(), "start": 1, **owner})


@contextmanager
def killed_at(q: TrialQueue, method: str) -> Iterator[None]:
    """Whatever happens inside stops dead when `q` reaches `method`."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(q, method, stop)
        with pytest.raises(KeyboardInterrupt):
            yield


def rows(q: TrialQueue) -> list[optuna.trial.FrozenTrial]:
    return q.study.get_trials()


def test_no_more_trials_run_than_are_wanted(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path, wanted=2)
    first, second = begin(q, 16 * "1"), begin(q, 16 * "2")
    assert q.start() is Nothing.WAIT
    assert q.finish(first, OK)
    assert q.start() is Nothing.WAIT
    assert q.finish(second, Outcome("error", "why"))
    third = begin(q, 16 * "3")
    assert q.finish(third, Outcome("duplicate", attributes={"duplicate_of": 0, "hash": 16 * "1"}))
    assert q.finish(begin(q, 16 * "4"), Outcome("infeasible", "too large"))
    assert q.start() is Nothing.DONE
    assert [t.state.name for t in rows(q)] == ["COMPLETE", "FAIL", "PRUNED", "PRUNED"]
    assert records.finished(q.study) == 2


def test_a_dead_trial_gets_one_retry_with_what_it_was(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path)
    trial = begin(q)
    trial.set_constraint("latency", 0.3)
    orphan(q, trial)
    for resumer in (q, make_queue(url, tmp_path), q):
        resumer.recover()
    dead, retry = rows(q)
    assert (dead.state, dead.user_attrs[keys.DIED]) == (TrialState.FAIL, True)
    assert (retry.state, retry.params, retry.user_attrs) == (
        TrialState.WAITING,
        dead.params,
        {"program": PROGRAM, "family": "a" * 16, "hash": "a" * 16, keys.RETRY_OF: 0, keys.DEATHS: 1},
    )
    assert not retry.constraints
    again = q.start()
    assert isinstance(again, optuna.Trial)
    assert again.number == 1
    assert again.suggest_int("x", 0, 9) == trial.params["x"]
    assert q.claim(again, "a" * 16, program=PROGRAM, family=16 * "f") is None
    assert q.finish(again, OK)


def test_a_requeue_that_was_cut_off_after_failing_the_trial(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path)
    orphan(q, begin(q))
    with killed_at(q, "_retry_all"):
        q.recover()
    assert [t.state.name for t in rows(q)] == ["FAIL"]
    q.recover()
    assert [t.user_attrs.get(keys.RETRY_OF) for t in rows(q)] == [None, 0]


def test_a_trial_that_died_without_a_program_is_replaced_by_a_new_one(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path, wanted=1)
    orphan(q, begin(q, key=None))
    fresh = begin(q)
    assert fresh.number == 1
    assert [t.state.name for t in rows(q)] == ["FAIL", "RUNNING"]


def test_a_trial_that_died_with_its_outcome_recorded_is_finished(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path)
    for key, outcome in ((16 * "1", OK), (16 * "2", Outcome("too_slow", "slow")), (16 * "3", Outcome("error", "why"))):
        trial = begin(q, key)
        with killed_at(q, "_tell"):
            q.finish(trial, outcome)
        orphan(q, trial)
    q.recover()
    assert [(t.state.name, t.values) for t in rows(q)] == [("COMPLETE", [0.5, 1.0]), ("PRUNED", None), ("FAIL", None)]


def test_a_worker_killed_before_its_trial_runs_leaves_it_waiting(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path)
    with killed_at(q, "_beat"):
        q.start()
    assert begin(q).number == 0


def test_rows_of_other_programs_are_left_alone(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path, wanted=1)
    foreign = q.storage.create_new_trial(q.storage.get_study_id_from_name("toy"))
    assert q.finish(begin(q), OK)
    assert q.start() is Nothing.DONE
    assert q.storage.get_trial(foreign).state == TrialState.RUNNING


def test_a_kernel_belongs_to_one_trial(url: str, tmp_path: Path) -> None:
    q = make_queue(url, tmp_path, wanted=9)
    first, second = begin(q, 16 * "b"), begin(q, None)
    assert q.claim(second, 16 * "b", program=PROGRAM, family=16 * "f") == first.number
    orphan(q, first)
    third = begin(q, 16 * "b")  # the retry has it
    assert rows(q)[third.number].user_attrs[keys.RETRY_OF] == 0
    assert q.claim(second, 16 * "b", program=PROGRAM, family=16 * "f") == third.number
    q.finish(third, Outcome("error", "why"))
    assert q.claim(second, 16 * "b", program=PROGRAM, family=16 * "f") is None
    q.finish(second, Outcome("unhealthy", "no"))
    assert q.claim(begin(q, None), 16 * "b", program=PROGRAM, family=16 * "f") == second.number


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_another_machines_trial_lives_while_it_beats(tmp_path: Path, kind: str) -> None:
    url = f"sqlite:///{tmp_path}/study.db" if kind == "sqlite" else f"journal://{tmp_path}/study.log"
    q = make_queue(url, tmp_path, grace_s=0.05)
    trial = begin(q)
    orphan(q, trial, machine="another")
    for _ in range(3):
        q._beat(trial._trial_id)
        q.recover()
    assert rows(q)[0].state == TrialState.RUNNING
    q.recover()
    liveness.time.sleep(0.06)
    q.recover()
    assert [t.state.name for t in rows(q)] == ["FAIL", "WAITING"]


def test_a_kernel_that_kills_its_process_again_and_again_is_an_error(tmp_path: Path) -> None:
    q = make_queue(None, tmp_path, wanted=5)
    for number in range(MAX_DEATHS):
        trial = begin(q)
        assert trial.number == number
        orphan(q, trial)
    q.recover()
    assert rows(q)[-1].user_attrs["reason"] == f"the process that ran it died {MAX_DEATHS} times"
    assert records.read(q.study)[-1].outcome == "error"
    assert begin(q, 16 * "b").number == MAX_DEATHS


def test_interruptions_are_no_deaths(tmp_path: Path) -> None:
    q = make_queue(None, tmp_path, wanted=5)
    for _ in range(MAX_DEATHS + 1):
        q.release(begin(q))
    assert [t.state.name for t in rows(q)][-1] == "WAITING"


@pytest.mark.parametrize("values", [None, (math.nan, 1.0), (0.5, math.inf)])
def test_ok_needs_finite_values(values: tuple[float, float] | None) -> None:
    assert keys.checked(Outcome("ok", values=values)).name == "unhealthy"


def test_unknown_outcomes_and_nan_attributes() -> None:
    assert keys.checked(Outcome("fine")).name == "error"
    assert keys.checked(Outcome("pruned", attributes={"a": [1.0, math.nan], "b": {"c": -math.inf}})).attributes == {
        "a": [1.0, None],
        "b": {"c": None},
    }


def test_a_sign_of_life_is_there_before_the_trial_runs(tmp_path: Path) -> None:
    q = make_queue(None, tmp_path)
    begin(q)
    (trial,) = q.study.get_trials()
    assert trial.system_attrs["kas:beat"] == 1
    assert queue.HEARTBEAT_S < queue.GRACE_S
