"""Opening the storage of a study: SQLite in its folder by default, or any RDB or journal file of Optuna by its URL."""

from __future__ import annotations

import os
import shutil
import weakref
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.storages.journal._file import BaseJournalFileLock

from kas.language.errors import KasError
from kas.study.storage.bulk import BulkStorage
from kas.study.storage.copying import copied
from kas.study.storage.disk import disk_error
from kas.study.storage.files import StudyFolder
from kas.study.storage.masking import masked
from kas.study.storage.mutex import FileMutex, MySQLMutex, PostgresMutex, StudyMutex, flock
from kas.study.storage.outages import Outages, first_line
from kas.study.storage.proxy import connect, open_proxy_mutex

__all__ = ["BUSY_TIMEOUT_S", "HEARTBEAT_S", "close_storage", "open_mutex", "open_storage", "storage_url"]

BUSY_TIMEOUT_S = 60
HEARTBEAT_S = 15  # a running trial says so often that it lives
GRACE_S = 120  # so long after its last heartbeat, a trial on another machine counts as dead
# Each connection is tried before it is used, and one whose server is gone without a word ends in about a minute.
_SERVER: dict[str, dict[str, Any]] = {
    "postgresql": {
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": 15,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        },
    },
    "mysql": {"pool_pre_ping": True, "connect_args": {"connect_timeout": 15, "read_timeout": 60, "write_timeout": 60}},
}

optuna.logging.set_verbosity(optuna.logging.WARNING)


def storage_url(url: str | None, folder: Path) -> str:
    """The full URL of a study's storage: `study.db` in its folder if none is given; a plain path is a journal file."""
    if url is None:
        return f"sqlite:///{StudyFolder(folder).database.absolute()}"
    return url if "://" in url else f"journal://{url}"


def open_storage(
    url: str | None, folder: Path, *, create: bool = True, snapshot: bool = False, outages: Outages | None = None
) -> BaseStorage:
    """Open the storage of the study in `folder`, creating the file or the tables if needed (and if `create`).

    SQLite runs with a write-ahead log, `synchronous=NORMAL` and a busy timeout of 60 s. A torn last line of a journal,
    left by a crash, is cut. `grpc://HOST:PORT` is a proxy (`kas.study.storage.proxy`) in front of one of these. Of a file in
    a folder that cannot be written a copy is opened, unless `create`.
    snapshot: open a copy of any file, so that nothing of the study is written, locked or waited for.
    outages: what waits for a database that does not answer, from now on; none does by default.
    Raises KasError, without the password, if the storage cannot be opened or is of a kind that kas does not know.
    """
    full = storage_url(url, folder)
    outages = outages or Outages()
    outages.reason = lambda error: _reason(error, full)
    try:
        if full.startswith(("journal://", "sqlite")):
            path = _path(full)
            if path.is_file() and (snapshot or not (create or os.access(path.parent, os.W_OK))):
                return _open_copy(full, path)
            create = create and not snapshot
        if full.startswith("journal://"):
            return _open_journal(_path(full), create)
        if full.startswith("sqlite"):
            return outages.guard(_open_sqlite(full, create))
        opening = connect if full.startswith("grpc://") else _open_server
        return outages.guard(outages.ride(lambda: opening(full)))
    except KasError:
        raise
    except Exception as error:
        if (halted := disk_error(error, folder)) is not None:
            raise halted from error
        raise KasError(f"the storage {masked(full)} cannot be opened: {_reason(error, full)}") from None


def open_mutex(url: str | None, folder: Path, study: str, outages: Outages | None = None) -> StudyMutex:
    """The lock of a study in this storage; see `kas.study.storage.mutex`. outages: of the storage.

    Raises KasError as `open_storage` does.
    """
    full = storage_url(url, folder)
    if full.startswith(("journal://", "sqlite")):
        path = _path(full)
        return FileMutex(path.with_name(path.name + ".mutex"), outages)
    if full.startswith("grpc://"):
        return open_proxy_mutex(full, study, outages)
    return _server_mutex(full, f"study {study}", outages)


def close_storage(storage: BaseStorage) -> None:
    """Close the connections of a storage that is not used any more."""
    if isinstance(storage, optuna.storages.GrpcStorageProxy):
        storage.close()
    backend = getattr(storage, "_backend", None)
    if isinstance(backend, RDBStorage):
        backend.remove_session()
        backend.engine.dispose()


def _dialect(url: str) -> str:
    dialect = url.partition("://")[0].partition("+")[0]
    if dialect not in ("postgresql", "mysql"):
        raise KasError(
            f"storage {masked(url)}: {dialect!r} is not a storage that kas knows; "
            f"use sqlite:///FILE, journal://FILE, postgresql+psycopg://USER@HOST/DATABASE, mysql+pymysql://USER@HOST/DATABASE "
            f"or grpc://HOST:PORT"
        )
    return dialect


def _path(url: str) -> Path:
    """The file of a file storage. `sqlite:///relative` and `sqlite:////absolute`, as SQLAlchemy has it."""
    prefix, _, rest = url.partition("://")
    name = rest.partition("?")[0].removeprefix("/") if prefix.startswith("sqlite") else rest
    if not name or name == ":memory:":
        raise KasError(f"storage {masked(url)}: a study needs a file that outlives the process, as in {prefix}:///study.db")
    return Path(name)


def _need(path: Path, create: bool) -> None:
    if path.is_dir():
        raise KasError(f"the storage {path} is a folder; name a file in it")
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        raise KasError(f"there is no storage {path}")


def _open_copy(url: str, path: Path) -> BaseStorage:
    """Open a copy of a storage's file, which is there as long as the storage is used."""
    copy = copied(path)
    journal = url.startswith("journal://")
    storage = _open_journal(copy, create=False) if journal else _open_sqlite(f"sqlite:///{copy}", create=False)
    weakref.finalize(storage, shutil.rmtree, copy.parent, ignore_errors=True)
    return storage


def _open_sqlite(url: str, create: bool) -> BaseStorage:
    from sqlalchemy import event

    path = _path(url)
    _need(path, create)
    with flock(path.with_name(path.name + ".mutex")):  # two processes that create the tables at once collide
        storage = BulkStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}})
        event.listen(storage.engine, "connect", _set_pragmas)
        storage.engine.dispose()  # connections opened so far have no pragmas
        with storage.engine.connect():
            pass
    return optuna.storages.get_storage(storage)


def _open_server(url: str) -> BaseStorage:
    mutex = _server_mutex(url, "tables")  # workers that create the tables at the same moment collide
    try:
        with mutex.hold():
            storage = BulkStorage(url, engine_kwargs=dict(_SERVER[_dialect(url)]))
    finally:
        mutex.close()
    return optuna.storages.get_storage(storage)


def _server_mutex(url: str, name: str, outages: Outages | None = None) -> StudyMutex:
    from sqlalchemy import create_engine

    dialect = _dialect(url)
    engine = create_engine(url, pool_size=1, max_overflow=4, **_SERVER[dialect])
    return PostgresMutex(engine, name, outages) if dialect == "postgresql" else MySQLMutex(engine, name, outages)


def _set_pragmas(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_TIMEOUT_S * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _open_journal(path: Path, create: bool) -> BaseStorage:
    _need(path, create)
    lock = _JournalLock(path)
    with flock(lock.path):
        cut_torn_line(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def cut_torn_line(path: Path) -> int:
    """Cut what follows the last newline of a journal: the rest of a write that a crash cut off. Returns the bytes cut."""
    if not path.exists():
        return 0
    with open(path, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        position, tail = size, b""
        while position > 0 and b"\n" not in tail:
            step = min(position, 1 << 16)
            position -= step
            file.seek(position)
            tail = file.read(step)
        keep = position + tail.rfind(b"\n") + 1
        if keep < size:
            file.truncate(keep)
        return size - keep


class _JournalLock(BaseJournalFileLock):
    """The lock of a journal's writers, by `flock`: it is free at once when its holder is killed, where Optuna's own waits
    30 s. Each writer first cuts what a writer before it left half written, or its line would be glued to the torn one."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.path = file.with_name(file.name + ".writers")
        self._held: Any = None

    def acquire(self) -> bool:
        held = flock(self.path)
        held.__enter__()
        self._held = held
        cut_torn_line(self.file)
        return True

    def release(self) -> None:
        held, self._held = self._held, None
        held.__exit__(None, None, None)


def _reason(error: BaseException, url: str) -> str:
    """The first line of the innermost error, without the password."""
    return masked(first_line(error), url)
