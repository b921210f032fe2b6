"""Seconds of a training's own work: a limit on them is the same on a machine that other programs keep busy."""

from __future__ import annotations

import time

import psutil
import torch

__all__ = ["WorkClock"]

_SPARE = 0.05  # of the machine's CPU time idle: a thread that wants a core gets one


class WorkClock:
    """Counts the seconds of this process's work since it was made.

    They are those of the clock, a data loader's sleep among them, wherever the machine has a core to spare. Where it has
    none, they are the CPU time that the process got, over its threads: what it waited for a core is not its own work.
    """

    def __init__(self) -> None:
        self._total, self._last = 0.0, _Reading()

    def seconds(self) -> float:
        """The seconds so far."""
        now, last = _Reading(), self._last
        wall, cpu, idle = now.wall - last.wall, now.cpu - last.cpu, now.idle - last.idle
        busy = idle < _SPARE * wall * (psutil.cpu_count() or 1)
        spent = min(wall, cpu / torch.get_num_threads()) if busy else wall
        if wall > 1.0:  # the system counts in hundredths: shorter stretches tell little, and are counted again
            self._total, self._last = self._total + spent, now
            return self._total
        return self._total + spent


class _Reading:
    def __init__(self) -> None:
        self.wall, self.cpu, self.idle = time.monotonic(), time.process_time(), psutil.cpu_times().idle
