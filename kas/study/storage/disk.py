"""A disk that is full, read-only or broken: the run ends cleanly, what is finished is kept; it is never a trial's outcome."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kas.language.errors import KasError

__all__ = ["DiskError", "disk_error", "disk_errors"]

_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_SQLITE = (  # its errors have a text alone
    "database or disk is full",
    "disk i/o error",
    "unable to open database file",
    "attempt to write a readonly database",
)


class DiskError(KasError):
    """Something cannot be written: what, where, why, and how much is free. `resume` goes on when that is mended."""

    exit_code = 1


def disk_error(error: BaseException, where: Path) -> DiskError | None:
    """The error as one of the disk, if it or what caused it is one. where: the study's folder, if the error names no file."""
    if isinstance(error, DiskError):
        return error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _ERRORS:
            path = Path(str(cause.filename)) if cause.filename else where
            return DiskError(_text(path, cause.strerror or str(cause)))
        if any(text in str(cause).lower() for text in _SQLITE) and type(cause).__module__ in ("sqlite3", "sqlalchemy.exc"):
            return DiskError(_text(where, f"the database says: {str(cause).splitlines()[0]}"))
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Raises DiskError for any error that comes from the disk. where: the study's folder."""
    try:
        yield
    except Exception as error:
        if (found := disk_error(error, where)) is None or found is error:
            raise
        raise found from error


def _text(path: Path, reason: str) -> str:
    """What, where, why, how much is free, and what to do."""
    there = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    try:
        free = f"{shutil.disk_usage(there).free / 1e6:.0f} MB are free there"
    except OSError as error:
        free = f"the disk does not say how much is free ({error.strerror})"
    return (
        f"{path} cannot be written: {reason}; {free}. What is finished is kept: make room (or mend the disk), then go on "
        f"with `resume`"
    )
