"""What every subcommand is made of, and the options that all of them have."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from kas.language.errors import shown
from kas.study.storage.masking import masked

__all__ = ["STORAGE", "Command", "Place", "add_place", "whole"]

STORAGE = "KAS_STORAGE"  # of the environment: the URL of a storage


@dataclass(frozen=True)
class Command:
    """A subcommand: its line in the list, its help, its options, and the function that returns the exit code.

    loads: it takes torch, which is loaded for seconds before anything can be shown.
    """

    summary: str
    description: str
    add_arguments: Callable[[ArgumentParser], None]
    execute: Callable[[Any], int]
    epilog: str = ""
    loads: bool = False


@dataclass(frozen=True)
class Place:
    """Where studies are: the folder of their folders, and the storage if it is not the SQLite file in each."""

    dir: Path
    storage: str | None

    @classmethod
    def of(cls, args: Any) -> Place:
        """The place that the options of a command line name, or the environment's storage."""
        return cls(Path(args.dir), args.storage or os.environ.get(STORAGE) or None)

    def folder(self, name: str) -> Path:
        """The folder of a study, DIR/NAME."""
        return self.dir / name

    @property
    def where(self) -> str:
        """Where its studies are, in words."""
        return masked(self.storage) if self.storage else str(self.dir)

    def shown(self) -> list[str]:
        """The options that name this place on a command line that people read: without the storage's password."""
        folder = [] if self.dir == Path("runs") else ["--dir", str(self.dir)]
        return folder if self.storage is None else [*folder, "--storage", masked(self.storage)]


def whole(text: str) -> int:
    """A whole number on a command line. Raises ArgumentTypeError for anything else."""
    try:
        return int(text)
    except ValueError:  # also for more digits than Python reads
        raise ArgumentTypeError(f"must be a whole number, not {shown(text)}") from None


def add_place(parser: ArgumentParser) -> None:
    """Add --dir and --storage."""
    parser.add_argument("--dir", type=str, default="runs", metavar="DIR", help="the folder of all studies (default: runs)")
    parser.add_argument(
        "--storage",
        type=str,
        default=None,
        metavar="URL",
        help="where trials are kept: any storage URL of Optuna, as sqlite:///FILE, journal://FILE or "
        "postgresql+psycopg://USER@HOST/DATABASE (default: $KAS_STORAGE, where a password is hidden, else DIR/NAME/study.db)",
    )
