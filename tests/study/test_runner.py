"""Workers that share a study, and workers that are killed, on real storages with real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from toy import EPOCHS, PROGRAM, Evaluation, make_queue

from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.display.events import Silent
from kas.study.storage import records
from kas.study.storage.queue import TrialQueue
from kas.study.workers import runner
from kas.study.workers.interruption import Interruption
from kas.study.workers.runner import MAX_ERRORS, Result, Runner, TrialContext

pytestmark = pytest.mark.system

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[object]:
    """Starts workers; ends those that a failing test leaves."""
    processes: list[subprocess.Popen[str]] = []

    def start(url: str, wanted: int, **options: float) -> subprocess.Popen[str]:
        arguments = [f"{key}={value}" for key, value in options.items()]
        command = [sys.executable, str(TOY), url, str(tmp_path), str(wanted), *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def run(queue: TrialQueue, evaluate: object, listener: object = None) -> Result:
    with Interruption() as interruption:
        return Runner(queue, evaluate, listener or Silent(), interruption, poll_s=0.02).run()


def wait_for(condition: object, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def evaluations(folder: Path) -> list[tuple[int, str, int]]:
    path = folder / "evaluations.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(number), key, int(done)) for number, key, done in (line.split() for line in lines)]


def assert_whole(queue: TrialQueue, folder: Path, wanted: int) -> None:
    """Exactly the wanted finished trials, nothing running, no kernel evaluated twice but to go on where it was cut off."""
    all_records = records.read(queue.study)
    done = [record for record in all_records if record.is_finished]
    assert len(done) == wanted == records.finished(queue.study)
    assert len({record.hash for record in done}) == wanted
    assert not any(record.state == "RUNNING" for record in all_records)
    retries = {t.number: t.user_attrs["retry_of"] for t in queue.study.get_trials() if "retry_of" in t.user_attrs}
    by_kernel: dict[str, list[tuple[int, int]]] = {}
    for number, key, epochs in evaluations(folder):
        by_kernel.setdefault(key, []).append((number, epochs))
    for runs in by_kernel.values():
        assert [epochs for _, epochs in runs] == sorted(epochs for _, epochs in runs)
        assert all(_comes_from(retries, later, earlier) for (earlier, _), (later, _) in pairwise(runs))


def _comes_from(retries: dict[int, int], later: int, earlier: int) -> bool:
    while later in retries and later != earlier:
        later = retries[later]
    return later == earlier


def test_one_worker_ends_at_the_wanted_number(url: str, tmp_path: Path) -> None:
    queue = make_queue(url, tmp_path, wanted=6)
    assert run(queue, Evaluation(tmp_path, kernels=8)) == Result(0)
    assert_whole(queue, tmp_path, 6)
    assert run(queue, Evaluation(tmp_path)) == Result(0)
    assert_whole(queue, tmp_path, 6)


def test_the_study_says_how_many_are_wanted(tmp_path: Path) -> None:
    queue = make_queue(None, tmp_path, wanted=2)
    queue.study.set_user_attr(keys.TRIALS, 4)
    run(queue, Evaluation(tmp_path))
    assert_whole(queue, tmp_path, 4)


def test_workers_share_a_study_with_duplicates_and_errors(url: str, tmp_path: Path, spawn: object) -> None:
    workers = [spawn(url, 14, kernels=24, epoch_s=0.005, bad=0.2) for _ in range(3)]
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], outputs
    queue = make_queue(url, tmp_path)
    assert_whole(queue, tmp_path, 14)
    assert {number for number, _, _ in evaluations(tmp_path)} == {
        r.number for r in records.read(queue.study) if r.outcome == "ok"
    }


def test_killed_again_and_again_at_any_instant(url: str, tmp_path: Path, spawn: object) -> None:
    for round_ in range(6):
        before = len(evaluations(tmp_path))
        worker = spawn(url, 12, kernels=1000, epoch_s=0.02)
        done = round_ % 2  # every other time after the worker has finished a trial
        wait_for(lambda before=before + done: len(evaluations(tmp_path)) > before)
        time.sleep(0.013 * round_)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    queue = make_queue(url, tmp_path)
    before = {r.number: r for r in records.read(queue.study) if r.is_finished}
    assert before
    last = spawn(url, 12, kernels=1000, epoch_s=0.0)
    assert last.wait(timeout=120) == 0
    queue = make_queue(url, tmp_path)
    assert_whole(queue, tmp_path, 12)
    after = {r.number: r for r in records.read(queue.study)}
    assert all(after[number] == record for number, record in before.items())
    cut = [t for t in queue.study.get_trials() if t.user_attrs.get("died") and "program" in t.user_attrs]
    assert cut
    assert len({t.user_attrs["retry_of"] for t in queue.study.get_trials() if "retry_of" in t.user_attrs}) == len(cut)


def test_a_retry_comes_first_and_goes_on_from_its_checkpoint(url: str, tmp_path: Path, spawn: object) -> None:
    worker = spawn(url, 3, epoch_s=0.15)
    wait_for(lambda: any((tmp_path / "trials").glob("*/last.ckpt")))
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    queue = make_queue(url, tmp_path, wanted=3)
    for x in (1, 2):
        queue.study.enqueue_trial({"x": x})
    assert run(queue, Evaluation(tmp_path)) == Result(0)
    (number, key, done), (retry, retried, resumed) = evaluations(tmp_path)[:2]
    assert (number, done, retried) == (0, 0, key)
    assert 1 <= resumed <= EPOCHS
    assert queue.study.get_trials()[retry].user_attrs["retry_of"] == 0
    assert_whole(queue, tmp_path, 3)


def test_ctrl_c_releases_the_trial(url: str, tmp_path: Path, spawn: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        before = len(evaluations(tmp_path))
        worker = spawn(url, 4, epoch_s=0.3)
        wait_for(lambda before=before: len(evaluations(tmp_path)) > before)
        worker.send_signal(number)
        assert worker.wait(timeout=120) == 130
    queue = make_queue(url, tmp_path, wanted=4)
    states = [trial.state.name for trial in queue.study.get_trials()]
    assert states.count("WAITING") == 1
    assert "RUNNING" not in states
    assert run(queue, Evaluation(tmp_path)) == Result(0)
    assert_whole(queue, tmp_path, 4)


def test_errors_end_the_run_with_the_reason(tmp_path: Path) -> None:
    queue = make_queue(None, tmp_path, wanted=50)
    result = run(queue, Evaluation(tmp_path, bad=1.0))
    assert result.exit_code == 1
    assert result.reason.startswith(f"{MAX_ERRORS + 1} trials in a row met an error, the last: RuntimeError: bad kernel")
    trials = queue.study.get_trials()
    assert len(trials) == MAX_ERRORS + 1
    assert all(t.state.name == "FAIL" and "RuntimeError" in t.user_attrs["error"] for t in trials)
    assert records.finished(queue.study) == 0


def test_errors_that_are_not_in_a_row_end_nothing(tmp_path: Path) -> None:
    wanted = MAX_ERRORS + 2
    queue = make_queue(f"journal://{tmp_path}/log", tmp_path, wanted=wanted)

    def every_other(context: TrialContext) -> Outcome:
        if context.number % 2 == 0:
            raise RuntimeError("bad kernel")
        return Outcome("ok", values=(0.5, 1.0))

    assert run(queue, every_other) == Result(0)
    assert sum(record.outcome == "error" for record in records.read(queue.study)) == wanted


def test_duplicates_end_the_run_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_DUPLICATES", 20)
    queue = make_queue(f"journal://{tmp_path}/log", tmp_path, wanted=3)
    result = run(queue, Evaluation(tmp_path, kernels=2))
    assert result.exit_code == 1
    assert result.reason.startswith("20 proposals in a row")
    duplicates = [record for record in records.read(queue.study) if record.outcome == "duplicate"]
    assert len(duplicates) >= 20
    assert all(record.state == "PRUNED" and record.hash and record.duplicate_of is not None for record in duplicates)


def test_a_trial_that_somebody_else_failed(tmp_path: Path) -> None:
    """Its worker goes on with its retry, whether it notices in `suggest` or at the end."""
    queue = make_queue(None, tmp_path, wanted=2)
    failed = []

    def evaluate(context: TrialContext) -> Outcome:
        x = context.trial.suggest_int("x", 0, 9)
        context.claim(f"{x:016x}", program=PROGRAM, family=16 * "f")
        if len(failed) < 2:
            failed.append(context.number)
            queue.study.tell(context.number, state=keys.TrialState.FAIL)
            if len(failed) == 1:
                context.trial.suggest_int("y", 0, 9)
        return Outcome("ok", values=(0.5, 1.0))

    assert run(queue, evaluate) == Result(0)
    assert records.finished(queue.study) == 2
    trials = queue.study.get_trials()
    assert [trials[number].user_attrs.get("outcome") for number in failed] == [None, None]
    assert [t.user_attrs["retry_of"] for t in trials if "retry_of" in t.user_attrs] == failed


def test_values_that_are_not_finite_never_reach_the_front(tmp_path: Path) -> None:
    queue = make_queue(None, tmp_path, wanted=3)
    values = iter([(float("inf"), 1.0), (float("nan"), 1.0), (0.5, 1.0)])

    def evaluate(context: TrialContext) -> Outcome:
        return Outcome("ok", values=next(values), attributes={"health": {"a": float("nan")}})

    assert run(queue, evaluate) == Result(0)
    assert [record.outcome for record in records.read(queue.study)] == ["unhealthy", "unhealthy", "ok"]
    assert [record.number for record in records.front(records.read(queue.study))] == [2]


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.trials: list[tuple[int, str | None, int, bool]] = []

    def trial_finished(self, record: records.TrialRecord, finished: int, wanted: int, own: bool) -> None:
        self.trials.append((record.number, record.outcome, finished, own))


def test_the_listener_hears_of_every_trial(tmp_path: Path, spawn: object) -> None:
    heard = Heard()
    url = f"sqlite:///{tmp_path}/study.db"
    queue = make_queue(url, tmp_path, wanted=8)
    other = spawn(url, 8, epoch_s=0.03)
    run(queue, Evaluation(tmp_path, epoch_s=0.03), heard)
    assert other.wait(timeout=120) == 0
    assert sorted(number for number, outcome, _, _ in heard.trials if outcome == "ok") == sorted(
        record.number for record in records.read(queue.study) if record.is_finished
    )
    assert any(own for *_, own in heard.trials)
