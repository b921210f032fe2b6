"""Small file systems to be filled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["disk", "fill"]


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory, mounted at `folder`. Skips the test where nothing can be mounted."""
    import pytest

    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, free: int = 0) -> Path:
    """Leave so many bytes free in a file system; returns the file that takes the others."""
    filler = folder / "filler"
    with suppress(OSError):  # what is free changes while others write
        filler.write_bytes(b"x" * (shutil.disk_usage(folder).free - free))
    return filler
