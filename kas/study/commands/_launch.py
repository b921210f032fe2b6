"""What `run` and `resume` share: the amounts, the workers, the way out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands import report
from kas.study.commands._base import Place, whole

if TYPE_CHECKING:
    from kas.study.config import StudyConfig

__all__ = ["add_amounts", "check_amounts", "launch"]


def add_amounts(parser: ArgumentParser) -> None:
    """Add --trials, --workers and --adopt."""
    parser.add_argument("--trials", type=whole, default=None, metavar="N", help="finished trials the study shall have in all")
    parser.add_argument(
        "--workers", type=whole, default=1, metavar="N", help="processes that evaluate trials on this machine (default: 1)"
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="take over DIR/NAME with what was trained there, where its study.id is not this study's",
    )


def check_amounts(args: Any) -> None:
    """Raise `KasError` for amounts that make no sense."""
    for key in ("trials", "workers"):
        value = getattr(args, key)
        if value is not None and value < 1:
            raise KasError(f"--{key} must be at least 1, not {value}")


def launch(
    config: StudyConfig, study_file: Path | None, place: Place, workers: int, *, adopt: bool, further: bool = False
) -> int:
    """Run the study until it has its trials, with `workers` processes, of which this is the first.

    study_file: what the configuration was read from; None if the study's folder has it already. further: this process
    is one that another `launch` started. adopt: take over the folder, if it is another study's. Returns the exit code; an
    interruption says how to go on.
    """
    from kas.study.display.events import Listeners
    from kas.study.display.progress import Terminal, Worker
    from kas.study.workers.session import run_study
    from kas.study.workers.team import Team, end_with_parent

    if further:
        end_with_parent()
    terminal = Worker() if further else Terminal()
    command = [sys.executable, "-m", "kas.study", "resume", config.name, f"--workers={workers}", "--further-worker"]
    command += place.further()
    try:
        with Team(command, 0 if further else workers - 1, terminal, place.environment()) as team:
            folder = place.folder(config.name)
            listeners = Listeners(terminal, team)
            summary = run_study(config, folder, place.storage, listeners, workers, study_file=study_file, adopt=adopt)
            if summary.exit_code:
                team.interrupt()
    finally:
        terminal.close()
    if summary.exit_code == 0 and not further:
        terminal.message(f"report   {report.write(place, config.name)}")
    if summary.exit_code == 130 and not further:
        again = " ".join(["python -m kas.study resume", config.name, *place.shown()])
        print(f"interrupted; go on with: {again}", file=sys.stderr)
    return summary.exit_code
