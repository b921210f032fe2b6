"""Where the time of sampling goes: by phase (the stack, looked at often) and by function (cProfile)."""

from __future__ import annotations

import cProfile
import pstats
import signal
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType

from goals import make_table
from rich.table import Table

import kas

__all__ = ["by_function", "by_phase"]

_ROOT = str(Path(kas.__file__).parent) + "/"
_EVERY = 0.001  # seconds of CPU time; the system may look less often

# The innermost frame that belongs to one of these, by the start of its path and name, decides the phase.
_PHASES = (
    ("language/normal/", "hash (normal form)"),
    ("language/scales/", "sanity (scales)"),
    ("generation/sanity.py", "sanity (scales)"),
    ("solvers/shapes.py", "shape solver"),
    ("generation/growth.py solve_for", "shape solver"),
    ("generation/join.py solve_join", "shape solver"),
    ("generation/join.py _solve_one", "shape solver"),
    ("solvers/", "budget solver"),
    ("generation/knob.py", "repair (the knob)"),
    ("generation/repair.py", "repair (the knob)"),
    ("generation/close.py", "closing"),
    ("generation/draw.py", "growth"),
    ("generation/grow.py to_kernel", "making the kernel"),
    ("generation/grow.py", "growth"),
    ("generation/batch.py", "sampler: the loop, random generators"),
    ("generation/sample.py", "sampler: the loop, random generators"),
)


@cache
def _phase_of(path: str, name: str) -> str | None:
    """The phase that a function belongs to, None for one that several phases call, "" outside kas."""
    if not path.startswith(_ROOT):
        return ""
    place = f"{path[len(_ROOT) :]} {name}"
    return next((phase for start, phase in _PHASES if place.startswith(start)), None)


def _phase(frame: FrameType | None) -> str:
    """The phase that a stack belongs to."""
    found = ""
    while frame is not None:
        phase = _phase_of(frame.f_code.co_filename, frame.f_code.co_name)
        if phase:
            return phase
        found = "other, in kas" if phase is None else found
        frame = frame.f_back
    return found or "other"


def by_phase(work: Callable[[], None]) -> Table:
    """Run the work and share out its CPU time."""
    found: Counter[str] = Counter()
    before = signal.signal(signal.SIGPROF, lambda _, frame: found.update([_phase(frame)]))
    signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)
    try:
        work()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    table = make_table("phase", "share of the CPU time", "looks")
    for phase, count in found.most_common():
        table.add_row(phase, f"{count / found.total():.1%}", str(count))
    return table


def by_function(work: Callable[[], None], most: int = 25) -> Table:
    """Run the work under cProfile and list the functions with the most own time (calls count double in such a profile)."""
    profile = cProfile.Profile()
    profile.runcall(work)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    table = make_table("function", "own time", "with what it calls", "calls")
    for (path, line, name), (_, calls, own, whole, _) in sorted(stats.items(), key=lambda item: -item[1][2])[:most]:
        where = f"{path.removeprefix(_ROOT)}:{line} {name}" if path != "~" else name
        table.add_row(where if path.startswith(_ROOT) or path == "~" else f"{Path(path).name}:{line} {name}",
                      f"{own / total:.1%}", f"{min(whole / total, 1):.1%}", f"{calls:,}")  # fmt: skip
    return table
