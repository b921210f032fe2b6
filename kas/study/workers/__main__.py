"""One worker process, as `kas.study.workers.supervisor` starts it: `python -m kas.study.workers FD`.

FD is the worker's end of a connection. Over it come where modules are found and the work, a function of a listener; the
events of that listener go back. When the other end closes, the supervisor is gone and the worker ends as if interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from kas.language.errors import KasError

__all__ = ["main"]

ENDING_S = 20.0  # a worker that its supervisor has left ends within this time
_ALIVE_EVERY_S = 0.5


class Remote:
    """A listener whose events happen in the supervisor. `alive`, which batches call, is passed on twice a second at most."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._told = 0.0

    def __getattr__(self, event: str) -> Any:
        if event.startswith("_"):
            raise AttributeError(event)
        return partial(self._send, event)

    def alive(self) -> None:
        """The worker gets on."""
        if time.monotonic() - self._told > _ALIVE_EVERY_S:
            self._told = time.monotonic()
            self._send("alive")

    def _send(self, event: str, *arguments: Any, **named: Any) -> None:
        try:
            self._connection.send((event, arguments, named))
        except OSError:  # the supervisor is gone, which `_watch` sees too
            return


def main(handle: int) -> int:
    """Do the work that the connection names; the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted, 70 a defect."""
    # A shell starts what runs in the background with SIGINT ignored; here it is how the supervisor ends us.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    connection: Connection[Any, Any] = Connection(handle)
    listener = Remote(connection)
    try:
        sys.path[:] = connection.recv()
        work = connection.recv()
        threading.Thread(target=_watch, args=(connection,), name="kas supervisor", daemon=True).start()
        return int(work(listener))
    except KasError as error:
        listener.failed(str(error), error.exit_code)
        return error.exit_code
    except (KeyboardInterrupt, EOFError):
        return 130
    except Exception as error:
        logging.getLogger("kas.study").exception("a worker met an error")
        listener.message(f"{type(error).__name__}: {error}"[:300])
        return 70


def _watch(connection: Connection[Any, Any]) -> None:
    """End this process, and what it started, when the supervisor is gone."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(ENDING_S)
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
