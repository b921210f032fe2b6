"""The command: `kas COMMAND ...`, which is the same as `python -m kas.study COMMAND ...`.

Exit codes: 0 done, 1 failed, 2 wrong use or bad input, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kas.study.workers.interruption import Interruption

__all__ = ["main", "run"]

_LOADING = ("run", "resume", "check", "promote", "export", "measure", "rediscover")  # those that load torch, for seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code; a `KasError` is one message on stderr, without a traceback.

    What takes time to load is loaded here: a signal while it is loaded ends the command as later ones do.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in _LOADING and not {"-h", "--help"} & set(words) and sys.stderr.isatty():
        print(f"{words[0]}: loading ...", file=sys.stderr, flush=True)  # before any import that takes time
    try:
        with Interruption():
            return _execute(words)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as in `list | head`
        sys.stderr.close()
        return 1


def _execute(argv: list[str]) -> int:
    from kas.language.errors import KasError
    from kas.study.commands import COMMANDS
    from kas.study.commands._base import STORAGE
    from kas.study.commands._parser import parser
    from kas.study.display.lines import say
    from kas.study.storage.disk import disk_errors
    from kas.study.storage.masking import masked

    args: Any = parser().parse_args(argv)
    given = args[args.command]
    try:
        with disk_errors(Path(given.get("dir") or ".")):
            return COMMANDS[args.command].execute(given)
    except KasError as error:
        storage = getattr(given, "storage", None) or os.environ.get(STORAGE)
        say(f"error: {masked(str(error), storage)}", sys.stderr)
        return error.exit_code


def run() -> None:
    """Run the command of this process and end with its exit code; what the console script `kas` calls."""
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what no encoding has
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())


if __name__ == "__main__":
    run()
