"""Where a study's files are, `DIR/NAME/`, and writing them so that a reader or a crash never meets half a file."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["StudyFolder", "is_whole_svg", "write_atomically", "write_bytes", "write_if_other", "write_json", "write_text"]


LEFT_S = 600.0  # a file that is being written is touched more often
_PREFIX = ".kas-"  # of a temporary file; those of a checkpoint and of a report, and of earlier releases, have other names
_TEMPORARY = re.compile(
    r"\.kas-.*|last\.ckpt[a-z0-9_]{8}\.tmp|\.report\.html\.[a-z0-9_]{8}|\.(origin|study|[0-9a-f]{16})-[a-z0-9_]{8}\.\w+",
    re.ASCII,
)


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study. Nothing is created until `make`, or until something is written.

    root: `DIR/NAME`.
    """

    root: Path

    @property
    def database(self) -> Path:
        """The default storage, an SQLite file."""
        return self.root / "study.db"

    @property
    def reference(self) -> Path:
        """Checkpoints of the original network's training."""
        return self.root / "reference"

    @property
    def kernels(self) -> Path:
        """The exported kernels of the front."""
        return self.root / "kernels"

    @property
    def artifacts(self) -> Path:
        """Drawings of kernels, as the dashboard shows them."""
        return self.root / "artifacts"

    @property
    def measurements(self) -> Path:
        """What `measure` found, a file for each device, runtime, batch and thread count."""
        return self.root / "measurements"

    @property
    def locks(self) -> Path:
        """Lock files. They may be deleted when nothing runs."""
        return self.root / "locks"

    @property
    def log(self) -> Path:
        """What every worker logged."""
        return self.root / "log.txt"

    @property
    def report(self) -> Path:
        """The report of the study."""
        return self.root / "report.html"

    @property
    def identity(self) -> Path:
        """The identity of the study whose folder this is, a line."""
        return self.root / "study.id"

    def results(self) -> list[str]:
        """The names of those of its folders that hold what was trained or measured: nobody can make these again for free."""
        names = ("trials", "reference", "kernels", "promoted", "measurements")
        return [name for name in names if any((self.root / name).glob("*"))]

    def sweep(self) -> None:
        """Remove what writes that were killed have left: temporary files of kas that nobody has touched for a while."""
        latest = time.time() - LEFT_S
        for path in self.root.rglob("*") if self.root.is_dir() else ():
            with suppress(OSError):  # gone by now, or not ours to remove
                if _TEMPORARY.fullmatch(path.name) and path.stat().st_mtime < latest:
                    path.unlink()

    def trial(self, key: str) -> Path:
        """The folder of the checkpoints of one kernel; `key` is its hash, so that a retry finds what the died trial left."""
        return self.root / "trials" / key

    def promoted(self, key: str, epochs: int, seed: int) -> Path:
        """The folder of the checkpoint of a promoted network; `key` is its kernel's hash, or "original"."""
        return self.root / "promoted" / key / f"epochs{epochs}" / f"seed{seed}"

    def kernel(self, key: str, suffix: str) -> Path:
        """An exported file of the kernel with this hash, as in `kernel(hash, ".json")`."""
        return self.kernels / f"{key}{suffix}"

    def make(self) -> StudyFolder:
        """Create the folder (and its parents) if it is not there."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file in the folder of `path` and move it there in one step. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{_PREFIX}{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_if_other(path: Path, text: str) -> Path:
    """Write a UTF-8 text file in one step, unless it is there and says this."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return path
    except (OSError, UnicodeDecodeError):
        pass
    return write_text(path, text)


def is_whole_svg(path: Path) -> bool:
    """Whether a drawing is there, to its end."""
    try:
        return path.read_bytes().rstrip().endswith(b"</svg>")
    except OSError:
        return False


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file in one step."""
    return write_atomically(path, lambda temporary: temporary.write_bytes(data))


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file in one step."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> Path:
    """Write data as indented JSON in one step."""
    return write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
