"""`export NAME --kernel HASH --to FORMAT`: take a kernel of a study home, as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place
from kas.study.commands._studies import open_study
from kas.study.schema import nearest

if TYPE_CHECKING:
    import optuna

    from kas.language.kernel import Kernel
    from kas.solvers import Target

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument("--kernel", type=str, required=True, metavar="HASH", help="the kernel's hash, or its start")
    parser.add_argument("--to", choices=list(_FORMATS), required=True, help="the format")
    parser.add_argument(
        "--target", type=str, metavar="LAYER", help="py: the replaced layer to write it for (default: the first)"
    )
    parser.add_argument("--out", type=str, metavar="FILE", help="where to write it (default: DIR/NAME/kernels/HASH.FORMAT)")
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.language.kernel import Kernel
    from kas.study.commands._kernels import find_trial
    from kas.study.files import StudyFolder

    place = Place.of(args)
    study = open_study(place, args.name)
    trial = find_trial(study, args.kernel)
    kernel = Kernel.from_json(trial.user_attrs["program"])
    out = Path(args.out) if args.out else StudyFolder(place.folder(args.name)).kernel(kernel.hash, f".{args.to}")
    try:
        said = _FORMATS[args.to](study, trial, kernel, out, args.target)
    except OSError as error:
        raise KasError(f"{out} cannot be written: {error.strerror}") from None
    print(f"kernel {out}{said}")
    return 0


def _to_json(study: optuna.Study, trial: optuna.trial.FrozenTrial, kernel: Kernel, out: Path, layer: str | None) -> str:
    from kas.study.files import write_text

    write_text(out, kernel.to_json() + "\n")
    return ""


def _to_drawing(study: optuna.Study, trial: optuna.trial.FrozenTrial, kernel: Kernel, out: Path, layer: str | None) -> str:
    from kas.study.files import write_atomically

    write_atomically(out, kernel.draw)
    return ""


def _to_py(study: optuna.Study, trial: optuna.trial.FrozenTrial, kernel: Kernel, out: Path, layer: str | None) -> str:
    """The standalone module at the sizes of one replaced layer of the network as deployed."""
    from kas.lowering import source
    from kas.study.files import write_text

    target = _target(study, layer)
    sizes: Mapping[str, Any] | None = trial.user_attrs.get("sizes")
    if sizes is None or target.name not in sizes.get("values", {}):
        reason = trial.user_attrs.get("reason") or "it was not solved"
        raise KasError(f"kernel {kernel.hash} has no sizes in study {study.study_name}: {reason}")
    text = source(
        kernel, channels=target.channels, size=target.size, groups=sizes["groups"], values=sizes["values"][target.name]
    )
    write_text(out, text)
    return f"  (for {target.name}: {target.channels} channels, {'x'.join(map(str, target.size)) or 'no'} positions)"


def _target(study: optuna.Study, layer: str | None) -> Target:
    """The replaced layer of that name in the deployed network, or the first."""
    from kas.solvers import Target

    stored = study.user_attrs.get("kas.targets")
    stored = json.loads(stored) if isinstance(stored, str) else stored
    targets = [Target.from_dict(entry) for entry in (stored or {}).get("deployed", [])]
    if not targets:
        raise KasError(f"study {study.study_name} has no targets yet; run it first")
    if layer is None:
        return targets[0]
    names = [target.name for target in targets]
    if layer not in names:
        near = nearest(layer, names)
        raise KasError(f"--target {layer}: {f'did you mean {near}? ' if near else ''}the layers are {', '.join(names)}")
    return targets[names.index(layer)]


_Export = Callable[["optuna.Study", "optuna.trial.FrozenTrial", "Kernel", Path, "str | None"], str]
_FORMATS: dict[str, _Export] = {"json": _to_json, "py": _to_py, "svg": _to_drawing, "png": _to_drawing}

command = Command(
    summary="write a kernel of a study as a file: json, py, svg, png",
    description="""\
Write a kernel of a study as a file.
  json  its program, the format that everything in kas reads
  py    a standalone module that needs only torch, at the sizes of one replaced layer
  svg, png  its drawing""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study export digits --kernel 3f2a --to py --out kernel.py
  python -m kas.study export digits --kernel 3f2a --to py --target stages.2.0.conv2""",
)
