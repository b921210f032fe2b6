"""`init`: a commented study file to begin with, and, for one's own network and data, a module beside it."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Any, get_args

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command

__all__ = ["command"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_SEQUENCES = ("mnist5k_columns", "watch")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=str, nargs="?", help="the study file to write (default: my_study.yaml)")
    parser.add_argument(
        "--from",
        type=str,
        default="own",
        metavar="DATA",
        help="own: your network and data, functions of a module that is written beside it (default); or the name of a "
        "data set, as digits",
    )


def _execute(args: Any) -> int:
    from kas.evaluation.settings import DataName
    from kas.study.schema import nearest

    source = args["from"]
    known = ["own", *get_args(DataName)]
    if source not in known:
        near = nearest(source, known)
        raise KasError(f"--from {source}: must be one of {', '.join(known)}" + (f"; did you mean {near}?" if near else ""))
    file = Path(args.file or "my_study.yaml")
    if file.suffix not in (".yaml", ".yml") or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", file.stem):
        raise KasError(f"{file}: must be named like my_study.yaml, with letters, digits and _, since a module has its name")
    values = {"name": file.stem, "file": str(file), "data": source}
    values["model"] = "small_conv1d" if source in _SEQUENCES else "small_resnet"
    texts = {file: "own.yaml" if source == "own" else "named.yaml"}
    if source == "own":
        texts[file.with_suffix(".py")] = "own.py.txt"
    if there := [str(path) for path in texts if path.exists()]:
        raise KasError(f"{' and '.join(there)}: is there already, and is left as it is; name another file")
    for path, template in texts.items():
        _write(path, Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(values))
    print(f"wrote {' and '.join(map(str, texts))}")
    print(f"look at network and data with: python -m kas.study check {file}")
    return 0


def _write(path: Path, text: str) -> None:
    from kas.study.storage.files import write_text

    try:
        write_text(path, text)
    except OSError as error:
        raise KasError(f"{path} cannot be written: {error.strerror or error}") from None


command = Command(
    summary="write a study file to begin with",
    description="""\
Write a commented study file, and beside it a Python module with two functions, the network and the data, which run as they
are: replace them by your own. With --from the name of a data set, no module is needed.""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study init my_study.yaml
  python -m kas.study init first.yaml --from digits""",
)
