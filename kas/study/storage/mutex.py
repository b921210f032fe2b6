"""One lock for a whole study, whatever its storage is, that a process which dies lets go by itself.

Optuna's storages offer atomic single writes at best (and on SQLite not even an atomic check-and-set: it reads, then
writes). What a study needs is to *decide* on everything that is there, "is a slot free?", "has nobody this kernel?",
"is this trial dead and not requeued yet?", and to write the answer before anybody else decides. So these few short
steps happen inside one lock:

* SQLite and journal files: `flock` on a file next to the database, in reach of everybody who reaches the database.
* PostgreSQL: an advisory lock of the server, held by an open transaction, gone with the connection.
* MySQL: `GET_LOCK`, gone with the connection.

The kernel or the server releases each of them when its process is killed: no lock ever has to be broken by guessing.
It is held for milliseconds, never while something is solved, measured or trained.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kas.language.errors import KasError

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["FileMutex", "MySQLMutex", "PostgresMutex", "StudyMutex", "flock"]

PATIENCE_S = 300.0  # the lock is held for milliseconds; who waits longer than this waits for a suspended process


class StudyMutex(Protocol):
    """`with mutex.hold(): ...`: nobody else is inside. Not reentrant. Raises `KasError` if it cannot be had in minutes."""

    def hold(self) -> AbstractContextManager[None]:
        """Wait for the lock and hold it."""
        ...

    def close(self) -> None:
        """Close what connects to the lock; it is not used any more."""


@contextmanager
def flock(path: Path, *, patience_s: float = PATIENCE_S, poll_s: float = 0.005) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created if needed and never deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise KasError(
                        f"{path} has been locked by another process for {patience_s:.0f} s; "
                        f"is a worker of this study suspended? Continue or end it (fuser {path} names it)"
                    ) from None
                time.sleep(poll_s)
        yield
    finally:
        os.close(handle)


class FileMutex:
    """The lock of a study in a file storage. `path`: the lock file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        with flock(self.path):
            yield

    def close(self) -> None:
        """Nothing to close."""


class PostgresMutex:
    """A lock of the given name on a PostgreSQL server. Works through a connection pooler, as it lives in a transaction."""

    def __init__(self, engine: Engine, name: str) -> None:
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
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._key})
            except OperationalError as error:
                raise KasError(
                    f"the lock of the study on the server was not to be had in {PATIENCE_S:.0f} s "
                    f"({type(error.orig).__name__}); is a worker of this study suspended?"
                ) from None
            yield

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class MySQLMutex:
    """A lock of the given name on a MySQL server."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = "kas-" + hashlib.sha256(name.encode()).hexdigest()[:48]

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        from sqlalchemy import text

        with self._engine.connect() as connection:
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
