"""When a worker hangs: the rule by which its supervisor ends it.

A worker gives signs of life: each event (a stage, an epoch, a message), each batch of a training, validation or test, and
each second in which it waits for something that it will get: the lock of the device or of the study, the database, other
workers. One that has given none for `patience_s` hangs: its trial becomes a `timeout`, and a new worker takes its place.

The silence is counted in the worker's own seconds, looked at once a second:

* asleep (a data loader or a forward pass that sleeps): the second counts,
* busy (a pass that loops, a compilation): its CPU time in that second counts, at most the second. So a machine that other
  programs keep busy, where it gets a tenth of a core, gives it ten times as long,
* stopped (SIGSTOP, a debugger): nothing counts.

`patience_s` is 10 minutes; 30 where a network is built, compiled and timed, which has no batches. Within a training that
`training.time_limit_s` limits, it is that limit: who is silent for longer has exceeded it. (A training that gives signs
looks at the limit itself, after each batch, in seconds of its own work: `kas.evaluation.worktime`.)
"""

from __future__ import annotations

import time

import psutil

__all__ = ["PATIENCE_S", "Watchdog", "patience_s"]

PATIENCE_S = 600.0
_COMPILING_S = 1800.0
_LOOK_EVERY_S = 1.0
_BUSY = 0.1  # CPU seconds in a second; a worker's own threads (heartbeats) need less
_MARGIN_S = 5.0  # signs come with some delay


def patience_s(stage: str, time_limit_s: float | None) -> float:
    """The silence, in own seconds, after which a worker in this stage of a trial hangs. time_limit_s: of a training."""
    if stage == "training":
        return PATIENCE_S if time_limit_s is None else min(PATIENCE_S, time_limit_s + _MARGIN_S)
    return _COMPILING_S if stage in ("build", "latency") else PATIENCE_S


class Watchdog:
    """Counts the silence of one process, in its own seconds."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._looked = time.monotonic()
        self._cpu = 0.0
        self.silent_s = 0.0

    def sign(self) -> None:
        """The process has given a sign of life."""
        self.silent_s = 0.0

    def look(self) -> None:
        """Count the time since the last look. To be called about once a second; sooner does nothing."""
        now = time.monotonic()
        if (passed := now - self._looked) < _LOOK_EVERY_S:
            return
        self._looked = now
        try:
            used, state = self._process.cpu_times(), self._process.status()
        except psutil.Error:  # it has just ended
            return
        cpu, self._cpu = used.user + used.system - self._cpu, used.user + used.system
        if state in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            return
        asleep = cpu < _BUSY * passed and state != psutil.STATUS_RUNNING
        # A look that comes late (this process was stopped, the machine slept) does not count for the time in between.
        self.silent_s += min(passed if asleep else cpu, 2 * _LOOK_EVERY_S)
