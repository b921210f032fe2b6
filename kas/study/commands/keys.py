"""`keys`: every key of a study file, with its default and its meaning, from the dataclasses themselves."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("section", metavar="SECTION", type=str, nargs="?", help="only this section, as training")


def _execute(args: Any) -> int:
    from kas.study import schema
    from kas.study.config import StudyConfig

    keys = list(schema.keys(StudyConfig))
    if args.section is not None:
        chosen = [key for key in keys if f"{key.path}.".startswith(f"{args.section}.")]
        if not chosen:
            sections = sorted({key.path.rpartition(".")[0] for key in keys} - {""})
            near = schema.nearest(args.section, sections)
            hint = f"; did you mean {near}?" if near else ""
            raise KasError(f"there is no section {args.section!r}; there are {', '.join(sections)}{hint}")
        keys = chosen
    for key in keys:
        default = key.default if key.default == schema.REQUIRED else _yaml_text(key.default)
        print(f"{key.path}: {default}")
        print(textwrap.fill(f"{key.doc} [{key.type}]", 110, initial_indent="    ", subsequent_indent="    "))
    return 0


def _yaml_text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")


command = Command(
    summary="explain every key of a study file",
    description="Print every key of a study file with its default, its meaning and its type.",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="A key is written `training: {epochs: 3}` in a study file, --set training.epochs=3 on the command line.",
)
