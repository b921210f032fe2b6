"""Sharing a device: many trainings may run, but a measurement of latency runs alone.

Two files in a folder are locked with POSIX record locks (`fcntl`), which the kernel takes back when a process ends, however
it ends, and which child processes (data loaders) do not inherit. The turnstile keeps a stream of trainings from
starving a measurement: who measures holds it while waiting, so that no training can start another batch.

POSIX locks belong to a process: use one DeviceLock for a folder in a process, from one thread.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kas.language.errors import KasError

__all__ = ["DeviceLock"]


class DeviceLock:
    """A lock over a device, in `folder` (made if missing). It is not re-entrant: taking it twice is an error."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
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
        fcntl.lockf(self._turnstile, fcntl.LOCK_EX)
        try:
            fcntl.lockf(self._device, fcntl.LOCK_SH)
        finally:
            fcntl.lockf(self._turnstile, fcntl.LOCK_UN)
        self._held = "shared"

    def acquire_exclusive(self) -> None:
        """Wait for all others to end, and hold them off."""
        self._refuse_twice("exclusive")
        fcntl.lockf(self._turnstile, fcntl.LOCK_EX)
        try:
            fcntl.lockf(self._device, fcntl.LOCK_EX)
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

    def _open(self, name: str) -> int:
        return os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _refuse_twice(self, wanted: str) -> None:
        if self._held is not None:
            raise KasError(f"the device lock in {self.folder} is already held ({self._held}); {wanted} was asked for")
