"""The loop of one worker: start a trial, evaluate it, record its outcome, until the study has its finished trials.

The evaluation is a function that is given to the runner (`kas.study.workers.trial.Pipeline` is the real one), so that the loop
knows nothing of torch. Any number of workers run this loop on one study; `kas.study.storage.queue` keeps them apart.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna

from kas.study.attributes import Outcome
from kas.study.display.events import Listener
from kas.study.storage import records
from kas.study.storage.disk import Halted, disk_error
from kas.study.storage.masking import masked
from kas.study.storage.queue import Nothing, TrialQueue
from kas.study.workers.interruption import Interruption

__all__ = ["MAX_DUPLICATES", "MAX_ERRORS", "Result", "Runner", "TrialContext"]

MAX_ERRORS = 10  # more in a row end the run
MAX_DUPLICATES = 200  # so many in a row end the run
_log = logging.getLogger("kas.study")


@dataclass(frozen=True)
class TrialContext:
    """What an evaluation is given.

    trial: to suggest the genome from. number: its number. queue: to claim the kernel. listener: for stages and epochs.
    """

    trial: optuna.Trial
    queue: TrialQueue
    listener: Listener

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self.trial.number

    def claim(self, key: str, *, program: str, family: str) -> int | None:
        """Claim the kernel with this hash; None if granted, else the number of the trial that has it."""
        return self.queue.claim(self.trial, key, program=program, family=family)


Evaluate = Callable[[TrialContext], Outcome]


@dataclass(frozen=True)
class Result:
    """How a worker's loop ended. exit_code: 0 done, 1 failed, 130 interrupted. reason: why, for 1."""

    exit_code: int
    reason: str | None = None


class Runner:
    """One worker.

    evaluate: from a context to an outcome; whatever it raises becomes the outcome `error` and is recorded.
    interruption: entered by the caller, so that a signal outside a trial ends the run as well.
    poll_s: how long to wait, in seconds, when every slot is taken by others. folder: of the study, to name for a full disk.
    """

    def __init__(
        self,
        queue: TrialQueue,
        evaluate: Evaluate,
        listener: Listener,
        interruption: Interruption,
        *,
        poll_s: float = 1.0,
        folder: Path = Path(),
    ) -> None:
        self._queue = queue
        self._evaluate = evaluate
        self._listener = listener
        self._interruption = interruption
        self._poll_s = poll_s
        self._folder = folder
        self._errors = 0
        self._duplicates = 0
        self._own: set[int] = set()
        self._told = {trial.number for trial in self._ended()}

    def run(self) -> Result:
        """Work until the study has its finished trials, or until it makes no progress. Raises KeyboardInterrupt when
        interrupted, after the running trial has been released."""
        waiting = False
        while True:
            trial = self._queue.start()
            self._tell_news()
            if trial is Nothing.DONE:
                return Result(0)
            if isinstance(trial, Nothing):
                if not waiting:
                    self._listener.message("waiting for the last trials of the other workers")
                waiting = True
                self._listener.alive()
                self._interruption.wait(self._poll_s)
                continue
            waiting = False
            self._run(trial)
            self._tell_news()
            if reason := self._hopeless():
                return Result(1, reason)

    def _run(self, trial: optuna.Trial) -> None:
        self._own.add(trial.number)
        self._listener.trial_started(trial.number, trial.user_attrs.get("retry_of"))
        try:
            with self._queue.beating(trial):
                outcome = self._outcome(trial)
                kept = outcome is not None and self._queue.finish(trial, outcome)
        except (KeyboardInterrupt, Halted):
            _log.info("trial %d is cut off; it will go on from its checkpoint", trial.number)
            with suppress(Exception):  # a database that is out of reach: whoever resumes sees that this process is gone
                self._queue.release(trial)
            raise
        if outcome is None or not kept:
            self._listener.message(f"trial {trial.number} was ended by somebody else; its retry takes its place")
            return
        self._count(outcome.name)

    def _outcome(self, trial: optuna.Trial) -> Outcome | None:
        """The outcome of an evaluation; None if the trial is not ours any more.

        A network that exits or raises KeyboardInterrupt has met an error like any other, unless a signal has come, which
        libraries turn into either. A disk that is full says nothing about the kernel.
        """
        try:
            return self._evaluate(TrialContext(trial, self._queue, self._listener))
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            if self._interruption.requested:
                raise KeyboardInterrupt from None
            if (halted := disk_error(error, self._folder)) is not None:
                raise halted from error
            if self._queue.is_lost(trial):
                return None
            _log.exception("trial %d met an error", trial.number)
            text = masked("".join(traceback.format_exception(error)))
            first = masked(next(iter(str(error).splitlines()), ""))
            return Outcome("error", f"{type(error).__name__}: {first}"[:300], attributes={"error": text[-4000:]})

    def _count(self, outcome: str) -> None:
        self._duplicates = self._duplicates + 1 if outcome == "duplicate" else 0
        if outcome != "duplicate":
            self._errors = self._errors + 1 if outcome == "error" else 0

    def _hopeless(self) -> str | None:
        if self._errors > MAX_ERRORS:
            last = next((r.reason for r in reversed(self._ended()) if r.outcome == "error"), None)
            return f"{self._errors} trials in a row met an error, the last: {last}"
        if self._duplicates >= MAX_DUPLICATES:
            return (
                f"{self._duplicates} proposals in a row were kernels that the study has already evaluated; "
                f"the search space is exhausted: allow more steps or ops, or a larger budget"
            )
        return None

    def _ended(self) -> list[records.TrialRecord]:
        return [record for record in records.read(self._queue.study) if record.outcome is not None]

    def _tell_news(self) -> None:
        """Tell the listener about every trial that has ended since the last time, also those of other workers."""
        ended = self._ended()
        done = sum(record.is_finished for record in ended)
        for record in ended:
            if record.number not in self._told:
                self._told.add(record.number)
                self._listener.trial_finished(record, done, self._queue.wanted, record.number in self._own)
