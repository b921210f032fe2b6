"""`export NAME --kernel HASH --to FORMAT`: take a kernel of a study home, alone or in its network, as a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place
from kas.study.commands._studies import open_study
from kas.study.storage.files import StudyFolder
from kas.study.storage.promotions import ORIGINAL
from kas.study.workers.exporting import FORMATS, NETWORK_FORMATS, OF_A_LAYER, Wanted

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument(
        "--kernel",
        type=str,
        required=True,
        metavar="HASH",
        help="the kernel's hash, or its start, or the name of a known kernel; with --network also `original`",
    )
    parser.add_argument("--to", choices=list(FORMATS | NETWORK_FORMATS), required=True, help="the format")
    parser.add_argument(
        "--network",
        action="store_true",
        help="onnx, exported-program, state-dict: the whole network with the kernel, as promoted or as the search trained it",
    )
    parser.add_argument(
        "--target",
        type=str,
        metavar="LAYER",
        help="py, onnx, exported-program: the replaced layer to write the kernel for (default: the one with the most MACs)",
    )
    parser.add_argument(
        "--out",
        type=str,
        metavar="FILE",
        help="where to write it (default: in DIR/NAME/kernels/, as HASH.FORMAT, HASH-LAYER.FORMAT or HASH.network.FORMAT)",
    )
    add_place(parser)


def _execute(args: Any) -> int:
    _check(args)
    place = Place.of(args)
    study = open_study(place, args.name)
    folder = StudyFolder(place.folder(args.name))
    out = Path(args.out) if args.out else None
    suffix = NETWORK_FORMATS.get(args.to)
    if out is not None and suffix is not None and out.suffix != suffix:
        raise KasError(f"--out {out}: a file of this format ends in {suffix}")
    try:
        print(_network(args, study, folder, out) if args.network else _kernel(args, study, folder, out))
    except OSError as error:
        raise KasError(f"{error.filename or out} cannot be written: {error.strerror}") from None
    return 0


def _check(args: Any) -> None:
    """Raise KasError for options that do not go together."""
    if args.network and args.to not in NETWORK_FORMATS:
        raise KasError(f"--network goes with --to {', '.join(NETWORK_FORMATS)}, not with --to {args.to}")
    if args.network and args.target is not None:
        raise KasError("--network writes all layers: --target goes without it")
    if not args.network and args.to not in FORMATS:
        raise KasError(f"--to {args.to} writes a whole network: it goes with --network")
    if not args.network and args.kernel == ORIGINAL:
        raise KasError("--kernel original is a network, no kernel: it goes with --network")
    if args.target is not None and args.to not in OF_A_LAYER:
        raise KasError(f"--target goes with --to {', '.join(OF_A_LAYER)}, not with --to {args.to}")


def _kernel(args: Any, study: Any, folder: StudyFolder, out: Path | None) -> str:
    from kas.language.kernel import Kernel
    from kas.study.commands._kernels import find_trial

    trial = find_trial(study, args.kernel)
    kernel = Kernel.from_json(trial.user_attrs["program"])
    out = out or folder.kernel(kernel.hash, f"{_layer(args.target)}{OF_A_LAYER.get(args.to, f'.{args.to}')}")
    return f"kernel {out}{FORMATS[args.to](Wanted(study, trial, kernel, folder, args.target), out)}"


def _layer(name: str | None) -> str:
    """The part of a file's name that says for which layer it is. Raises KasError for a layer that makes no file name."""
    if name is None:
        return ""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,150}", name):
        raise KasError(f"--target {name}: this layer's name makes no file name; --out says where to write")
    return f"-{name}"


def _network(args: Any, study: Any, folder: StudyFolder, out: Path | None) -> str:
    from kas.language.kernel import Kernel
    from kas.study.commands._kernels import find_trial
    from kas.study.workers.networks import find_network, write_network

    trial = None if args.kernel == ORIGINAL else find_trial(study, args.kernel)
    kernel = None if trial is None else Kernel.from_json(trial.user_attrs["program"])
    key = ORIGINAL if kernel is None else kernel.hash
    out = out or folder.kernel(key, f".network{NETWORK_FORMATS[args.to]}")
    shipped = find_network(study, folder, kernel, trial)
    checked = write_network(shipped, out, args.to)
    remark = "" if shipped.remark is None else f"\n{shipped.remark}"
    return f"network {out}  ({shipped.said}; {checked}){remark}"


command = Command(
    summary="write a kernel of a study, or its network, as a file",
    description="""\
Write a kernel of a study as a file, or with --network the whole network with it: the promoted one (of its seeds the one that
validates best), or, where `promote` has not trained it, the one that the search trained, which is often narrower.
  py                a standalone module that needs only torch, at the sizes of one replaced layer; run it to check it
  onnx              for inference, any batch; checked in onnxruntime against torch
  exported-program  the same for torch.export.load (.pt2), C++ and mobile runtimes; loaded and checked against torch
  state-dict        with --network: weights and how the network is built, as data; kas.load gives the network, to train on
  svg, png, dot     its drawing, and the graph for Graphviz
  json              its program, the format that everything in kas reads
A network says how an image becomes its input (size, mean, standard deviation, classes), which weights it has and their
accuracy: in the file's metadata, and beside it in FILE.json. kas.load(FILE) reads any of the three.""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study export digits --kernel 3f2a --to py --out kernel.py
  python -m kas.study export digits --kernel 3f2a --to py --target stages.2.0.conv2
  python -m kas.study export digits --kernel 3f2a --to onnx --network
  python -m kas.study export digits --kernel original --to onnx --network""",
)
