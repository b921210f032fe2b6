"""Lines for a terminal: broken between words, so that no path, hash or number is broken."""

from __future__ import annotations

import sys
import textwrap
from typing import TextIO

from rich.console import Console

__all__ = ["make_console", "say", "wrapped"]

_INDENT = "  "  # of the lines that a line goes on in


def wrapped(text: str, width: int) -> str:
    """A text with each line broken between words; a word that is longer stays whole, and the terminal folds it.

    >>> wrapped("files /a/long/path", 10)
    'files\\n  /a/long/path'
    """
    lines = [
        textwrap.wrap(
            line, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        )
        if len(line) > width
        else [line]
        for line in text.split("\n")
    ]
    return "\n".join(part for line in lines for part in line)


def make_console(*, stderr: bool = False) -> Console:
    """The console of a command: tables have room for all columns where there is no terminal; `say` breaks lines."""
    console = Console(highlight=False, soft_wrap=True, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, stderr=stderr, width=140)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a text, on a terminal with its lines broken to the width. stream: None for stdout."""
    stream = stream or sys.stdout
    console = Console(file=stream)
    print(wrapped(text, console.width) if console.is_terminal else text, file=stream, flush=True)
