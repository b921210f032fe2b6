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
from kas.study.commands._base import Place, whole

if TYPE_CHECKING:
    from kas.study.config import StudyConfig

__all__ = ["add_amounts", "check_amounts", "launch"]


ARTIFACTS = "KAS_ARTIFACTS"  # of the environment


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


def launch(config: StudyConfig, study_file: Path | None, place: Place, args: Any) -> int:
    """Run the study until it has its trials, as `args` (--workers, --adopt, --artifacts) say.

    study_file: what the configuration was read from; None if the study's folder has it already. Returns the exit code; an
    interruption says how to go on.
    """
    from kas.study.display.progress import Terminal
    from kas.study.workers.session import work_on
    from kas.study.workers.supervisor import Supervisor

    folder, workers = place.folder(config.name), args.workers
    options = {"artifacts": args.artifacts, "study_file": study_file, "adopt": args.adopt}
    screen = Terminal()
    supervisor = Supervisor(
        partial(work_on, config, folder, place.storage, workers, options),
        screen,
        workers,
        give_up=partial(_give_up, config, folder, place.storage),
        device=config.device,
        time_limit_s=config.training.time_limit_s if config.objectives.cost == "latency" else None,
    )
    try:
        code = supervisor.run()
    finally:
        screen.close()
    if code == 0:
        screen.message(f"report   {report.write(place, config.name)}")
    if code == 130:
        words = ["python -m kas.study resume", config.name, *place.shown()]
        words += ["--artifacts", args.artifacts] if args.artifacts else []
        go_on = f"; go on with: {' '.join(words)}" if supervisor.begun else ""
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
