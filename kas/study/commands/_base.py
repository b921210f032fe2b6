"""What every subcommand is made of, and the options that all of them have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

__all__ = ["Command", "Place", "add_place"]


@dataclass(frozen=True)
class Command:
    """A subcommand: its line in the list, its help, its options, and the function that returns the exit code."""

    summary: str
    description: str
    add_arguments: Callable[[ArgumentParser], None]
    execute: Callable[[Any], int]
    epilog: str = ""


@dataclass(frozen=True)
class Place:
    """Where studies are: the folder of their folders, and the storage if it is not the SQLite file in each."""

    dir: Path
    storage: str | None

    @classmethod
    def of(cls, args: Any) -> Place:
        """The place that the options of a command line name."""
        return cls(Path(args.dir), args.storage)

    def folder(self, name: str) -> Path:
        """The folder of a study, DIR/NAME."""
        return self.dir / name

    def options(self) -> list[str]:
        """The options that name this place on another command line; none where they are the defaults."""
        options = [] if self.dir == Path("runs") else ["--dir", str(self.dir)]
        return options if self.storage is None else [*options, "--storage", self.storage]


def add_place(parser: ArgumentParser) -> None:
    """Add --dir and --storage."""
    parser.add_argument("--dir", type=str, default="runs", metavar="DIR", help="the folder of all studies (default: runs)")
    parser.add_argument(
        "--storage",
        type=str,
        default=None,
        metavar="URL",
        help="where trials are kept: any storage URL of Optuna, as sqlite:///FILE, journal://FILE or "
        "postgresql+psycopg://USER@HOST/DATABASE (default: DIR/NAME/study.db)",
    )
