"""Sharing a device: many trainings may run, but a measurement of latency runs alone.

Two files in a folder are locked with POSIX record locks (`fcntl`), which the kernel takes back when a process ends, however
it ends, and which child processes (data loaders) do not inherit. The turnstile keeps a stream of trainings from
starving a measurement: who measures holds it while waiting, so that no training can start another batch.

A worker that is stopped (SIGSTOP, a debugger) while it holds a lock does not stop the others: they pass it over, and say so
in the log, as they do with any lock that is held for over 10 minutes. A measurement may then run beside something else.

POSIX locks belong to a process: use one DeviceLock for a folder in a process, from one thread.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from kas.language.errors import KasError

__all__ = ["DeviceLock"]

PATIENCE_S = 600.0
_FIRST_LOOK_S = 0.1
_POLL_S = 0.002
_FLOCK = "hhqqi"  # struct flock of Linux: type, whence, start, length, pid
_LOG = logging.getLogger(__name__)


class DeviceLock:
    """A lock over a device, in `folder` (made if missing). It is not re-entrant: taking it twice is an error.

    on_wait: called about once a second while it is waited for.
    """

    def __init__(self, folder: Path | str, on_wait: Callable[[], None] = lambda: None) -> None:
        self.folder = Path(folder)
        self._on_wait = on_wait
        self._told: set[int | None] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._turnstile = self._open("turnstile.lock")
            self._device = self._open("device.lock")
        except OSError as error:
            raise KasError(f"the lock files of the device cannot be made in {self.folder}: {error}") from error
        self._held: str | None = None

    def acquire_shared(self) -> None:
        """Wait for measurements to end, and hold them off. For one batch of a training."""
        self._refuse_twice("shared")
        self._lock(self._turnstile, fcntl.LOCK_EX)
        try:
            self._lock(self._device, fcntl.LOCK_SH)
        finally:
            fcntl.lockf(self._turnstile, fcntl.LOCK_UN)
        self._held = "shared"

    def acquire_exclusive(self) -> None:
        """Wait for all others to end, and hold them off."""
        self._refuse_twice("exclusive")
        self._lock(self._turnstile, fcntl.LOCK_EX)
        try:
            self._lock(self._device, fcntl.LOCK_EX)
        except BaseException:
            fcntl.lockf(self._turnstile, fcntl.LOCK_UN)
            raise
        self._held = "exclusive"

    def release(self) -> None:
        """Let go of whatever is held; nothing happens if nothing is."""
        if self._held is not None:
            fcntl.lockf(self._device, fcntl.LOCK_UN)
            if self._held == "exclusive":
                fcntl.lockf(self._turnstile, fcntl.LOCK_UN)
            self._held = None

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with other trainings."""
        self.acquire_shared()
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone."""
        self.acquire_exclusive()
        try:
            yield
        finally:
            self.release()

    def close(self) -> None:
        """Let go, and close the files."""
        self.release()
        os.close(self._turnstile)
        os.close(self._device)

    def _lock(self, handle: int, kind: int) -> None:
        """Wait for a lock; come back without it where it is passed over."""
        begun = time.monotonic()
        look_s = _FIRST_LOOK_S
        while True:
            try:
                fcntl.lockf(handle, kind | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                waited = time.monotonic() - begun
            if waited > look_s:
                look_s = waited + 1.0
                self._on_wait()
                holder = _holder(handle, kind)
                if _is_stopped(holder) or waited > PATIENCE_S:
                    self._tell(holder, waited)
                    return
            time.sleep(_POLL_S)

    def _tell(self, holder: int | None, waited: float) -> None:
        if holder not in self._told:
            self._told.add(holder)
            text = (
                "the device's lock in %s is held by process %s, which is stopped or has it for long: passed over after %.0f s"
            )
            _LOG.warning(text, self.folder, holder, waited)

    def _open(self, name: str) -> int:
        return os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _refuse_twice(self, wanted: str) -> None:
        if self._held is not None:
            raise KasError(f"the device lock in {self.folder} is already held ({self._held}); {wanted} was asked for")


def _holder(handle: int, kind: int) -> int | None:
    """The process that holds a lock which is in the way; None if that is not to be seen."""
    if sys.platform != "linux":
        return None
    wanted = fcntl.F_WRLCK if kind == fcntl.LOCK_EX else fcntl.F_RDLCK
    found = fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(_FLOCK, wanted, os.SEEK_SET, 0, 0, 0))
    state, *_, pid = struct.unpack(_FLOCK, found)
    return pid if state != fcntl.F_UNLCK and pid > 0 else None


def _is_stopped(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False
