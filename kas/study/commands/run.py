"""`run STUDY.yaml`: make a study, or go on with it where it stood."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place, whole
from kas.study.commands._launch import add_amounts, check_amounts, launch
from kas.study.commands._studies import open_study, study_names
from kas.study.shipped import study_path

if TYPE_CHECKING:
    from kas.study.config import StudyConfig

__all__ = ["add_study_file", "command"]


def add_study_file(parser: ArgumentParser) -> None:
    """Add STUDY.yaml and --set."""
    parser.add_argument(
        "study", metavar="STUDY.yaml", type=str, help="the study file, or the name of one that comes with kas, as digits"
    )
    parser.add_argument(
        "--set",
        type=str,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one key of the study file, with its section, as training.epochs=3 or budget.params=0.5; may be repeated",
    )


def _add_arguments(parser: ArgumentParser) -> None:
    add_study_file(parser)
    add_amounts(parser)
    parser.add_argument("--seed", type=whole, default=None, metavar="N", help="the same as --set seed=N")
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.study.config import load_config
    from kas.study.workers.origin import allow_imports_beside

    check_amounts(args)
    place = Place.of(args)
    file = study_path(args.study)
    config = load_config(file, args.set, trials=args.trials, seed=args.seed)
    if config.name in study_names(place, create=True) and args.trials is None:
        config = replace(config, trials=_wanted(place, config))
    allow_imports_beside(file)
    return launch(config, file, place, args)


def _wanted(place: Place, config: StudyConfig) -> int:
    """The trials that a study that exists shall have: what was asked for last, unless the study file has changed."""
    from kas.reporting import stored
    from kas.reporting.parsing import loads
    from kas.study import attributes as keys
    from kas.study.storage import records

    try:
        study = open_study(place, config.name)
    except KasError:  # its creation was cut off, which run_study completes; anything else it reports itself
        return config.trials
    created = loads(stored.attribute(study, keys.CONFIG)).get("trials")
    last = records.wanted(study)
    return config.trials if last is None or config.trials != created else last


command = Command(
    summary="make a study from a study file, or go on with it",
    description="""\
Search kernels as a study file says. A study of the same name that exists goes on where it stood: nothing finished is done
again. --trials, --workers and --storage may change then; any other difference to what is stored is refused and shown.
Ctrl-C ends cleanly at any time; so does kill -9, but for the work since the last epoch.""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study run digits                          (a study that comes with kas; `list` names them)
  python -m kas.study run studies/digits.yaml --trials 60 --workers 2
  python -m kas.study run studies/digits.yaml --set name=digits_wide --set cost.model.width=96
  python -m kas.study run my.yaml --storage postgresql+psycopg://kas@host/kas   (the same on every machine that helps)

`python -m kas.study keys` explains every key of a study file. Functions that `model.factory` and `data.factory` name are
imported from beside the study file, or from wherever Python finds them.""",
)
