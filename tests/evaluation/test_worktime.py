"""The clock of a training's own work: a sleep counts, waiting for a core that others have does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from kas.evaluation import worktime
from kas.evaluation.devices import cpu_threads
from kas.evaluation.worktime import WorkClock


def test_a_sleep_counts_where_a_core_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worktime, "_SPARE", 0.0)  # whatever the machine of this test does
    clock = WorkClock()
    time.sleep(0.3)
    assert 0.3 <= clock.seconds() < 3.0


def test_waiting_for_a_core_does_not_count() -> None:
    """This process works for a second of CPU time, with three others on each core."""
    others = [
        subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(3 * len(os.sched_getaffinity(0)))
    ]
    try:
        with cpu_threads(1):
            clock, wall, cpu = WorkClock(), time.monotonic(), time.process_time()
            while time.process_time() < cpu + 1.0:
                pass
            own, passed = clock.seconds(), time.monotonic() - wall
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert passed > 1.5  # the machine was busy indeed
    assert own < 0.5 * (1.0 + passed)
