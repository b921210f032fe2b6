"""Ctrl-C, SIGTERM and SIGHUP as one clean way out, also through libraries that catch KeyboardInterrupt themselves."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from kas.language.errors import KasError

__all__ = ["SIGNALS", "Interruption"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """`with Interruption() as interruption: ...`: the first of SIGNALS raises KeyboardInterrupt in the main thread.

    `requested` says afterwards that it came from a signal: Lightning, for one, turns the exception into SystemExit. Later
    signals are ignored while the way out is taken (it takes seconds at most); SIGKILL is always safe. Outside the main
    thread, where signals cannot be handled, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}

    def check(self, error: BaseException) -> None:
        """Raise KasError if `error`, a KeyboardInterrupt or SystemExit, does not come from a signal but from a user's code."""
        if not self.requested:
            raise KasError(f"the study's own code ended its worker: {type(error).__name__}({error})") from error

    def wait(self, seconds: float) -> None:
        """Sleep; a signal ends it with KeyboardInterrupt."""
        time.sleep(seconds)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
            raise KeyboardInterrupt
