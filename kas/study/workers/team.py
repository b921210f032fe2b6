"""The further processes of `run --workers N`: the same command on the same study, one worker each.

They start when the original is trained and timed, so that nobody waits for that. What they print is passed on as
messages. Ctrl-C (or SIGTERM) of the first process reaches each of them once; a first process that is killed takes them
along too: its end of their standard input closes, and each then ends as if interrupted, its trial kept for whoever
resumes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from kas.study.display.events import Listener, Silent
from kas.study.storage.records import Reference

__all__ = ["Team", "end_with_parent"]

PATIENCE_S = 60.0  # how long an interrupted worker may take to release its trial


class Team(Silent):
    """A listener that starts `count` further processes of `command` when the reference is ready.

    Use as a context manager: an exception (an interruption among them) ends the processes, the normal way out waits for
    them. `listener` is told what they print, and about one that fails. environment: what they get beside this process's
    own.
    """

    def __init__(
        self, command: Sequence[str], count: int, listener: Listener, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._count = count
        self._listener = listener
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []
        self._ending = False

    def reference_ready(self, reference: Reference) -> None:
        """Start the processes."""
        if not self._processes:
            self._processes = [self._start(number) for number in range(2, self._count + 2)]

    def __enter__(self) -> Team:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                self.interrupt()
            self.wait()
        except BaseException:  # interrupted while waiting
            self.interrupt()
            self.wait(PATIENCE_S)
            raise

    def wait(self, patience_s: float | None = None) -> None:
        """Wait until every process has ended and all that it printed has been passed on."""
        for process in self._processes:
            try:
                process.wait(patience_s or (PATIENCE_S if self._ending else None))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        for reader in self._readers:
            reader.join(timeout=5)

    def interrupt(self) -> None:
        """Interrupt every process that still runs, as Ctrl-C does."""
        if self._ending:
            return
        self._ending = True
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)

    def _start(self, number: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal reaches the first process alone, which passes it on once
        )
        reader = threading.Thread(target=self._read, args=(number, process), name=f"kas worker {number}", daemon=True)
        reader.start()
        self._readers.append(reader)
        return process

    def _read(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.strip() and not self._ending:
                    self._listener.message(f"[worker {number}] {line.rstrip()}")
        code = process.wait()
        if code and not self._ending:
            self._listener.message(f"[worker {number}] ended with exit code {code}; the others go on")


def end_with_parent(stdin: int = 0) -> None:
    """In a further process: when the first process goes away, and our standard input with it, end as if interrupted.

    `stdin`: a file descriptor; read without Python's buffer, whose lock would be held when the interpreter ends. What a
    shell starts in the background inherits that SIGINT is ignored; it is how the first process ends this one, so it counts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        with suppress(OSError):
            while os.read(stdin, 1024):
                pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, name="kas parent", daemon=True).start()
