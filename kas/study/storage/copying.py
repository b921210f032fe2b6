"""A copy of a storage's file, for who reads a study and must not touch it."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["copied"]

_TRIES = 10  # where the file is written meanwhile


def copied(path: Path) -> Path:
    """Copy a storage's file, and SQLite's log of what is not in it yet, to a new temporary folder; the path of the copy."""
    folder = Path(tempfile.mkdtemp(prefix="kas-"))
    parts = [path, path.with_name(path.name + "-wal")]
    for _ in range(_TRIES):
        before = _stamps(parts)
        for part in parts:
            (folder / part.name).unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # the log comes and goes
                shutil.copyfile(part, folder / part.name)
        if _stamps(parts) == before:
            break
    return folder / path.name


def _stamps(parts: list[Path]) -> list[tuple[int, int] | None]:
    """When each file was last written, and its size in bytes; None for one that is not there."""
    found: list[tuple[int, int] | None] = []
    for part in parts:
        try:
            state = part.stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((state.st_mtime_ns, state.st_size))
    return found
