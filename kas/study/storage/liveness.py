"""Who runs a trial, and whether that process still lives.

A trial carries its *owner*: the process that runs it. On the same machine one look at the process table tells at once
whether it lives. On another machine (or in another container) nothing can be seen from here, so the owner gives signs of
life: a counter in the system attributes of the trial.
A counter that somebody has watched standing still for the grace period belongs to a dead process; no clocks are
compared, since two machines may disagree about the time.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

__all__ = ["Beat", "Watch", "is_alive", "this_process"]

_PROC = Path("/proc")


def this_process() -> dict[str, Any]:
    """This process as an owner record: host (for people), machine, pid and start, as JSON types.

    machine: the boot and the process table (containers have their own), so that pids are comparable.
    start: when the process started, in clock ticks since boot on Linux; a later process with the same pid has another.
    """
    pid = os.getpid()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "start": _start(pid)}


def is_alive(owner: Mapping[str, Any]) -> bool | None:
    """Whether the owner's process lives; None if that is not to be seen from here: it is of another machine."""
    pid = owner.get("pid")
    if owner.get("machine") != _machine() or not isinstance(pid, int):
        return None
    start = _start(pid)
    return start is not None and start == owner.get("start")


def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:  # not Linux
        return f"{uuid.getnode():x} {psutil.boot_time():.0f}"


def _start(pid: int) -> int | None:
    """When the process started; None if there is none, or only its remains that nobody has collected (a zombie)."""
    try:
        if _PROC.joinpath("self/stat").exists():
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            return None if fields[0] in "ZXx" else int(fields[19])
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time())
    except (OSError, psutil.Error):
        return None


class Watch:
    """Watches counters of processes that cannot be seen from here, by the clock of this process alone.

    grace_s: a counter that stands still for so long belongs to a dead process.
    """

    def __init__(self, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.grace_s = grace_s
        self._clock = clock
        self._seen: dict[Hashable, tuple[object, float]] = {}

    def stands_still(self, key: Hashable, counter: object) -> bool:
        """Whether the counter of `key` has been seen unchanged for the grace period; the first look never says so."""
        now = self._clock()
        before = self._seen.get(key)
        if before is None or before[0] != counter:
            self._seen[key] = (counter, now)
            return False
        return now - before[1] >= self.grace_s


class Beat:
    """`with Beat(sign, every_s): ...` calls `sign` again and again from a thread, whatever the main thread does.

    A sign that fails (the database does not answer) is tried again at the next turn; `failures` keeps the last error's
    text. The caller has given the first sign itself.
    """

    def __init__(self, sign: Callable[[], object], every_s: float) -> None:
        self._sign = sign
        self._every_s = every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kas heartbeat", daemon=True)
        self.failure: str | None = None

    def __enter__(self) -> Beat:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            try:
                self._sign()
                self.failure = None
            except Exception as error:
                self.failure = f"{type(error).__name__}: {error}"
