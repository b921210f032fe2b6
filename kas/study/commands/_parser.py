"""The parser of the whole command line, one subcommand for each module of this package."""

from __future__ import annotations

import sys
import textwrap
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser

from kas import __version__
from kas.study.commands import COMMANDS
from kas.study.shipped import shipped_studies
from kas.study.storage.masking import masked

__all__ = ["parser"]

DESCRIPTION = """\
Kernel Architecture Search: find kernels that replace the convolutions of a network, faster on this device at nearly the
same accuracy. Start with `run` and a study file; everything else works on a study by its name."""

EPILOG = """\
examples:
  python -m kas.study init my.yaml                         a study file of your own to begin with
  python -m kas.study check my.yaml                        look at network and data, train nothing
  python -m kas.study run digits                           a first search, a few minutes on two cores
  python -m kas.study run my.yaml --set training.epochs=3  a study file with one key changed
  python -m kas.study resume digits                        go on after Ctrl-C, a crash or kill -9
  python -m kas.study status digits                        how far it is, and the best kernels so far
  python -m kas.study dashboard digits                     watch it in a browser
  python -m kas.study promote digits                       train and test what is deployed, with error bars
  python -m kas.study export digits --kernel 3f2a --to py  take a kernel home
  python -m kas.study measure digits                       its latencies again, here, in every runtime
  python -m kas.study keys                                 what a study file may say

where things are:
  A study lives in DIR/NAME (DIR is `runs` unless --dir is given):
    study.db       trials, in SQLite; --storage URL puts them into any other storage of Optuna instead
    study.yaml     the whole configuration, as it was when the study was made
    kernels/       each kernel of the Pareto front: .json, .py, .svg and a checkpoint
    promoted/      checkpoints of the networks that `promote` has trained
    measurements/  what `measure` found, for each device, runtime, batch and thread count
    report.html    the report, which needs no server

studies that come with kas, for `run` and `check` (`kas` is the same command as `python -m kas.study`):
{studies}

exit codes:
  0 done   1 failed   2 wrong use or bad input   130 interrupted (`resume NAME` goes on)"""


class _Parser(ArgumentParser):
    """What is wrong with a command line, without a password that stands in it."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        super().error(masked(message), ex)


class _Help(RawDescriptionHelpFormatter):
    """Descriptions and examples as they are written; options in one column."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)


def parser() -> ArgumentParser:
    """The parser of the whole command line, one subcommand for each module of `kas.study.commands`."""
    name = "kas" if Path(sys.argv[0]).stem == "kas" else "python -m kas.study"
    studies = textwrap.fill(", ".join(shipped_studies()), 110, initial_indent="  ", subsequent_indent="  ")
    epilog = EPILOG.replace("{studies}", studies)
    top = _Parser(prog=name, description=DESCRIPTION, epilog=epilog, formatter_class=_Help)
    top.add_argument("--version", action="version", version=f"kas {__version__}")
    subcommands = top.add_subcommands(required=True, dest="command", title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = _Parser(description=command.description, epilog=command.epilog or None, formatter_class=_Help)
        command.add_arguments(sub)
        subcommands.add_subcommand(name, sub, help=command.summary)
    return top
