"""A worker process as its supervisor sees it: started, heard, asked to end, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from kas.study.workers.watchdog import Watchdog

__all__ = ["Work", "Worker"]

Work = Callable[[Any], int]
"""What a worker does: told a listener, it returns an exit code. It is pickled: a function or object of a module."""


class Worker:
    """One worker process and what is known of it. number: of its slot; the one that replaces it has the same.

    environment: what is added to this process's.
    """

    def __init__(self, number: int, work: Work, environment: Mapping[str, str] | None = None) -> None:
        self.number = number
        self.trial: int | None = None
        self.stage = ""
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kas.study.workers", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone, which passes it on
            )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        self._unfinished = b""
        self.watchdog = Watchdog(self.process.pid)
        with suppress(OSError):  # it died at once
            self.connection.send(sys.path)
            self.connection.send(work)

    def lines(self) -> list[str]:
        """What it has printed since the last call, in whole lines."""
        text = self._unfinished
        with suppress(BlockingIOError):
            while part := os.read(self.output.fileno(), 1 << 16):
                text += part
        *lines, self._unfinished = text.split(b"\n")
        return [line.decode(errors="replace").rstrip() for line in lines if line.strip()]

    def events(self) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
        """What it has told since the last call."""
        with suppress(EOFError, OSError):
            while self.connection.poll():
                yield self.connection.recv()

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and what it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it if it still runs, and what it started; then nothing of it is left."""
        self.kill()
        self.process.wait()
        self.connection.close()
        self.output.close()
