"""`resume NAME`: go on with a study that was interrupted, or that shall have more trials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place
from kas.study.commands._launch import add_amounts, check_amounts, launch
from kas.study.commands._studies import open_study

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    add_amounts(parser)
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.study.storage import records
    from kas.study.workers.origin import study_config, unfinished

    check_amounts(args)
    place = Place.of(args)
    folder = place.folder(args.name)
    try:
        study = open_study(place, args.name)
        config = study_config(study, folder, adopt=args.adopt)
        wanted = args.trials or records.wanted(study) or config.trials
    except KasError:
        kept = unfinished(folder)
        if kept is None or kept.name != args.name:
            raise
        config, wanted = kept, args.trials or kept.trials
    return launch(replace(config, trials=wanted), None, place, args)


command = Command(
    summary="go on with a study, without its file",
    description="""\
Go on with a study where it stood: after Ctrl-C, a crash, kill -9, or with --trials to search further. Nothing finished is
done again, and a trial that was cut off goes on from its last checkpoint.""",
    add_arguments=_add_arguments,
    execute=_execute,
    loads=True,
    epilog="""\
examples:
  python -m kas.study resume digits
  python -m kas.study resume digits --trials 100

The configuration is read from DIR/NAME/study.yaml, which `run` wrote, and from the storage if that file is not on this
machine. A study whose configuration names factories is only resumed where its study.yaml is.""",
)
