"""What `run` and `resume` share: the amounts, the workers, the way out."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands import report
from kas.study.commands._base import Place

if TYPE_CHECKING:
    from kas.study.config import StudyConfig
    from kas.study.display.events import StudyStarted

__all__ = ["add_amounts", "check_amounts", "launch"]


ARTIFACTS = "KAS_ARTIFACTS"  # of the environment


def add_amounts(parser: ArgumentParser) -> None:
    """Add --trials and --workers."""
    parser.add_argument("--trials", type=int, default=None, metavar="N", help="finished trials the study shall have in all")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that evaluate trials on this machine (default: 1)"
    )
    parser.add_argument(
        "--artifacts",
        type=str,
        default=os.environ.get(ARTIFACTS),
        metavar="PLACE",
        help="a folder or s3://BUCKET that all machines reach, for checkpoints: a trial whose machine died goes on elsewhere "
        f"from its last epoch (default: ${ARTIFACTS})",
    )


def check_amounts(args: Any) -> None:
    """Raise `KasError` for amounts that make no sense."""
    for key in ("trials", "workers"):
        value = getattr(args, key)
        if value is not None and value < 1:
            raise KasError(f"--{key} must be at least 1, not {value}")


def launch(config: StudyConfig, study_file: Path | None, place: Place, workers: int, artifacts: str | None) -> int:
    """Run the study until it has its trials, with `workers` worker processes.

    study_file: what the configuration was read from; None if the study's folder has it already. Returns the exit code; an
    interruption says how to go on.
    """
    from kas.study.display.progress import Terminal
    from kas.study.workers.origin import remember
    from kas.study.workers.session import work_on
    from kas.study.workers.supervisor import Supervisor

    class Screen(Terminal):
        """Shows the study, and keeps its configuration in its folder once it is open and all is well."""

        def study_started(self, event: StudyStarted) -> None:
            if study_file is not None:
                remember(event.folder, config, study_file)
            super().study_started(event)

    folder = place.folder(config.name)
    screen = Screen()
    supervisor = Supervisor(
        partial(work_on, config, folder, place.storage, workers, artifacts),
        screen,
        workers,
        give_up=partial(_give_up, config, folder, place.storage),
        time_limit_s=config.training.time_limit_s if config.objectives.cost == "latency" else None,
    )
    try:
        code = supervisor.run()
    finally:
        screen.close()
    if code == 0:
        screen.message(f"report   {report.write(place, config.name)}")
    if code == 130:
        options = "".join(f" {option}" for option in place.options())
        options += f" --artifacts {artifacts}" if artifacts else ""
        go_on = f"; go on with: python -m kas.study resume {config.name}{options}" if supervisor.begun else ""
        print(f"interrupted{go_on}", file=sys.stderr)
    return code


def _give_up(config: StudyConfig, folder: Path, url: str | None, number: int, reason: str) -> None:
    """Record that a trial hangs, before the process that runs it is ended: so nobody takes it for one that died."""
    import optuna

    from kas.study.attributes import Outcome
    from kas.study.storage.opening import close_storage, open_mutex, open_storage
    from kas.study.storage.queue import TrialQueue

    with ExitStack() as stack:
        storage = open_storage(url, folder, create=False)
        stack.callback(close_storage, storage)
        mutex = open_mutex(url, folder, config.name)
        stack.callback(mutex.close)
        study = optuna.load_study(study_name=config.name, storage=storage)
        TrialQueue(study, storage, mutex, wanted=config.trials).end(number, Outcome("timeout", reason))
