"""One lock for a whole study, whatever its storage is, that a process which dies lets go by itself.

Optuna's storages offer atomic single writes at best (and on SQLite not even an atomic check-and-set: it reads, then
writes). What a study needs is to *decide* on everything that is there, "is a slot free?", "has nobody this kernel?",
"is this trial dead and not requeued yet?", and to write the answer before anybody else decides. So these few short
steps happen inside one lock:

* SQLite and journal files: `flock` on a file next to the database, in reach of everybody who reaches the database.
* PostgreSQL: an advisory lock of the server, held by an open transaction, gone with the connection.
* MySQL: `GET_LOCK`, gone with the connection.

The kernel or the server releases each of them when its process is killed: no lock ever has to be broken by guessing.
It is held for milliseconds, never while something is solved, measured or trained. A holder that is stopped (SIGSTOP) for
longer does not stop the others: of a file lock it is woken for the moment that it needs to let go; a server takes the lock
back after a minute, and the holder begins its section anew when it goes on (`kas.study.storage.outages`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psutil

from kas.language.errors import KasError
from kas.study.storage.outages import SECTION_S, Outages

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["FileMutex", "MySQLMutex", "PostgresMutex", "StudyMutex", "exclusive", "flock"]

_TAKEN_BACK_S = 2 * SECTION_S  # of silence, after which a server lets a lock go
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code for a lock_timeout
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
PATIENCE_S = 300.0  # the lock is held for milliseconds; who waits longer than this waits for a suspended process


class StudyMutex(ABC):
    """The lock of a study. Not reentrant. outages: of the storage, which a section waits out."""

    def __init__(self, outages: Outages | None = None) -> None:
        self.outages = outages or Outages()

    def do(self, section: Callable[[], T]) -> T:
        """The result of `section`, during which nobody else is in one. It is repeated if the database goes away meanwhile.

        Raises `KasError` if the lock cannot be had in minutes.
        """

        def locked() -> T:
            with self.hold(), self.outages.section():
                return section()

        return self.outages.ride(locked)

    @abstractmethod
    def hold(self) -> AbstractContextManager[None]:
        """Wait for the lock and hold it, once; what can be repeated is better done by `do`."""

    def close(self) -> None:  # noqa: B027 (a file lock has nothing to close)
        """Close what connects to the lock; it is not used any more."""


def exclusive(method: F) -> F:
    """A method of an object with a `mutex`, which happens inside that lock (`StudyMutex.do`)."""

    @wraps(method)
    def inside(self: Any, *arguments: Any, **named: Any) -> Any:
        return self.mutex.do(lambda: method(self, *arguments, **named))

    return cast("F", inside)


@contextmanager
def flock(path: Path, *, patience_s: float = PATIENCE_S, alive: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created if needed and never deleted.

    The file holds the pid of whoever has the lock. `alive` is called about once a second while it is waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        begun = looked = time.monotonic()
        woken: set[int] = set()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                now = time.monotonic()
                if now - looked > 1.0:
                    looked = now
                    alive()
                    woken |= _wake(handle)
                if now - begun > patience_s:
                    raise KasError(
                        f"{path} has been locked by another process for {patience_s:.0f} s; "
                        f"is a worker of this study suspended? Continue or end it (fuser {path} names it)"
                    ) from None
                time.sleep(0.005)
        for pid in woken:  # as they were
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        os.pwrite(handle, f"{os.getpid():<10}".encode(), 0)
        yield
    finally:
        os.close(handle)


def _wake(handle: int) -> set[int]:
    """Continue the process that holds a lock and is stopped; its pid, or nothing."""
    try:
        pid = int(os.pread(handle, 10, 0) or b"0")
        if pid > 0 and pid != os.getpid() and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
            os.kill(pid, signal.SIGCONT)
            return {pid}
    except (ValueError, OSError, psutil.Error):  # of another machine, or just gone
        pass
    return set()


class FileMutex(StudyMutex):
    """The lock of a study in a file storage. `path`: the lock file."""

    def __init__(self, path: Path, outages: Outages | None = None) -> None:
        super().__init__(outages)
        self.path = path

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        with flock(self.path, alive=self.outages.alive):
            yield


class PostgresMutex(StudyMutex):
    """A lock of the given name on a PostgreSQL server. Works through a connection pooler, as it lives in a transaction."""

    def __init__(self, engine: Engine, name: str, outages: Outages | None = None) -> None:
        super().__init__(outages)
        self._engine = engine
        digest = hashlib.sha256(f"kas {name}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        from sqlalchemy import text
        from sqlalchemy.exc import OperationalError

        with self._engine.connect() as connection, connection.begin():
            try:
                connection.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE_S:.0f}s'"))
                connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{_TAKEN_BACK_S:.0f}s'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._key})
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
                raise KasError(
                    f"the lock of the study on the server was not to be had in {PATIENCE_S:.0f} s "
                    f"({type(error.orig).__name__}); is a worker of this study suspended?"
                ) from None
            yield

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class MySQLMutex(StudyMutex):
    """A lock of the given name on a MySQL server."""

    def __init__(self, engine: Engine, name: str, outages: Outages | None = None) -> None:
        super().__init__(outages)
        self._engine = engine
        self._name = "kas-" + hashlib.sha256(name.encode()).hexdigest()[:48]

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        from sqlalchemy import text

        with self._engine.connect() as connection:
            connection.execute(text(f"SET SESSION wait_timeout = {_TAKEN_BACK_S:.0f}"))
            arguments = {"name": self._name, "wait": int(PATIENCE_S)}
            if connection.execute(text("SELECT GET_LOCK(:name, :wait)"), arguments).scalar() != 1:
                raise KasError(
                    f"the lock of the study on the server was not to be had in {PATIENCE_S:.0f} s; "
                    f"is a worker of this study suspended?"
                )
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": self._name})

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
