"""The process of a command that has workers: it starts them, shows what they tell, and sees to it that they go on.

A worker is another process (`kas.study.workers.__main__`) in a session of its own. One that died (kill -9, a segmentation
fault, no memory) or hangs (`kas.study.workers.watchdog`) is replaced; its trial goes on from its last epoch, or is a
`timeout`. The first SIGINT, SIGTERM or SIGHUP reaches each worker once, which releases its trial; a second one kills them.
A supervisor that is killed takes its workers along: each sees its end of the connection close.

Here no torch is imported, so that a command shows something at once.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from kas.language.errors import KasError
from kas.study.display.events import StudySummary
from kas.study.storage.queue import MAX_DEATHS
from kas.study.workers.gpus import own_gpu
from kas.study.workers.interruption import SIGNALS
from kas.study.workers.process import Work, Worker
from kas.study.workers.watchdog import patience_s

__all__ = ["Supervisor"]

ENDING_S = 20.0  # how long an interrupted worker may take to release its trial
MOST_DEATHS = MAX_DEATHS + 4  # in a row, before the run ends; a kernel that kills its process is an `error` before that
_LOOK_EVERY_S = 0.2
_FIRST = 1
_ONCE = ("study_started", "reference_ready", "promotion_started")  # each worker tells them
_log = logging.getLogger("kas.study")


class Supervisor:
    """Runs `work` in `count` processes until each has done it; the further ones start when the original is ready.

    listener: shows the events as if one worker had told them: those of the first, and what the others end and say.
    give_up: records that a trial (its number) is a `timeout` for the reason; None where the work is no trials.
    time_limit_s: of a trial's training. device: of the study; with several GPUs each worker sees one (`own_gpu`).
    """

    def __init__(
        self,
        work: Work,
        listener: Any,
        count: int = 1,
        *,
        give_up: Callable[[int, str], None] | None = None,
        time_limit_s: float | None = None,
        device: str = "auto",
    ) -> None:
        self._work, self._listener, self._count, self._device = work, listener, count, device
        self._give_up, self._time_limit_s = give_up, time_limit_s
        self._workers: dict[int, Worker] = {}
        self._signals = 0
        self._deadline: float | None = None  # of the workers that were asked to end
        self._deaths = 0  # in a row
        self._once: set[str] = set()
        self._trials: set[int] = set()  # whose end has been shown
        self._summary: StudySummary | None = None
        self._failure: KasError | None = None
        self._code = 0

    @property
    def begun(self) -> bool:
        """Whether the study is open: there is something to go on with."""
        return "study_started" in self._once

    def run(self) -> int:
        """The exit code of the work: 0 done, 1 no progress, 130 interrupted. Raises the KasError of a worker."""
        with self._counting_signals():
            try:
                self._start(_FIRST)
                while self._workers:
                    self._turn()
            finally:
                for worker in self._workers.values():
                    worker.close()
        if self._failure is not None:
            raise self._failure
        if self._summary is not None:
            self._listener.study_finished(self._summary)
        return self._code

    def _start(self, number: int) -> None:
        self._workers[number] = Worker(number, self._work, own_gpu(self._device, number))

    def _turn(self) -> None:
        """Wait for news, and act on them."""
        wait([source for one in self._workers.values() for source in (one.connection, one.output.fileno())], _LOOK_EVERY_S)
        for worker in list(self._workers.values()):
            ended = worker.process.poll() is not None  # looked at before its last words are read
            for line in worker.lines():
                self._say(worker, line)
            for event, arguments, named in worker.events():
                worker.watchdog.sign()
                self._tell(worker, event, arguments, named)
            if ended:
                self._ended(worker)
            else:
                self._look_after(worker)
        if self._signals:
            self._end(130, at_once=self._signals > 1)
        if self._deadline is not None and time.monotonic() > self._deadline:
            self._end(self._code, at_once=True)

    def _ended(self, worker: Worker) -> None:
        """A worker's process has ended: by itself, or it died."""
        code = worker.process.returncode
        worker.close()
        del self._workers[worker.number]
        if code in (1, 2) and self._deadline is None:
            self._end(code)
        elif code != 0 and self._deadline is None:
            self._replace(worker, _how(code))

    def _replace(self, worker: Worker, how: str) -> None:
        self._deaths += 1
        text = f"worker {worker.number} {how}"
        _log.warning(text)
        if self._deaths > MOST_DEATHS:
            count = self._deaths
            self._failure = Failed(f"{count} workers in a row ended before a trial did, the last: {text}; see the log", 1)
            self._end(1)
            return
        self._listener.message(f"{text}; a new one takes its place")
        self._start(worker.number)

    def _look_after(self, worker: Worker) -> None:
        """End a worker that hangs."""
        worker.watchdog.look()
        silent, stage = worker.watchdog.silent_s, worker.stage
        if self._deadline is not None or silent < patience_s(stage, self._time_limit_s):
            return
        reason = f"no sign of progress for {silent:.0f} s in its {stage or 'start'}"
        if worker.trial is not None and self._give_up is not None:
            try:
                self._give_up(worker.trial, reason)
            except KasError as error:  # then it counts as one that died, and gets a retry
                self._listener.message(f"the end of trial {worker.trial} cannot be recorded: {error}")
        worker.close()
        del self._workers[worker.number]
        self._replace(worker, f"gave {reason} and was ended")

    def _end(self, code: int, *, at_once: bool = False) -> None:
        """End the workers that still run, with this exit code of the whole."""
        self._code = self._code or code
        if at_once:
            for worker in self._workers.values():
                worker.kill()
        elif self._deadline is None:
            self._deadline = time.monotonic() + ENDING_S
            for worker in self._workers.values():
                worker.interrupt()

    def _tell(self, worker: Worker, event: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Pass an event on, if it is news."""
        if event == "failed":
            if self._deadline is None:
                self._failure = Failed(*arguments)
        elif event == "message":
            self._say(worker, *arguments)
        elif event == "study_finished":
            if self._summary is None or self._summary.exit_code in (0, 130):
                self._summary = arguments[0]
        elif event == "trial_finished":
            self._trial_finished(worker, *arguments)
        elif event in _ONCE:
            if event not in self._once:
                self._once.add(event)
                getattr(self._listener, event)(*arguments)
                if event != "study_started" and self._deadline is None:
                    for number in range(_FIRST + 1, self._count + 1):
                        self._start(number)
        elif event != "alive":
            self._goes_on(worker, event, arguments)
            if worker.number == _FIRST or event == "unit_finished":
                getattr(self._listener, event)(*arguments, **named)

    def _goes_on(self, worker: Worker, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what a worker is at."""
        if event == "trial_started":
            worker.trial = arguments[0]
        elif event == "stage":
            worker.stage = arguments[1]
        elif event == "unit_started":
            worker.stage = "training"
        elif event == "unit_finished":
            worker.stage, self._deaths = "", 0

    def _trial_finished(self, worker: Worker, record: Any, finished: int, wanted: int, own: bool) -> None:
        if own:
            worker.trial, worker.stage, self._deaths = None, "", 0
        if record.number not in self._trials:
            self._trials.add(record.number)
            self._listener.trial_finished(record, finished, wanted, own and worker.number == _FIRST)

    def _say(self, worker: Worker, text: str) -> None:
        if self._deadline is None:
            self._listener.message(text if self._count == 1 else f"[worker {worker.number}] {text}")

    @contextmanager
    def _counting_signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP are counted; what `nohup` has us ignore is ignored. In the main thread alone."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._count_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _count_signal(self, *_: object) -> None:
        self._signals += 1


class Failed(KasError):
    """What ended a worker, or what ended one after the other."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
