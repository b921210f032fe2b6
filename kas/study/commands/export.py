"""`export NAME --kernel HASH --to FORMAT`: take a kernel of a study home, alone or in its network, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place
from kas.study.commands._studies import open_study
from kas.study.storage.files import StudyFolder
from kas.study.workers.exporting import FORMATS, NETWORK_FORMATS, Wanted

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument("--kernel", type=str, required=True, metavar="HASH", help="the kernel's hash, or its start")
    parser.add_argument("--to", choices=list(FORMATS), required=True, help="the format")
    parser.add_argument(
        "--network", action="store_true", help="onnx, exported-program: the whole trained network with the kernel in it"
    )
    parser.add_argument(
        "--target",
        type=str,
        metavar="LAYER",
        help="py, onnx, exported-program: the replaced layer to write the kernel for (default: the first)",
    )
    parser.add_argument("--out", type=str, metavar="FILE", help="where to write it (default: DIR/NAME/kernels/HASH.FORMAT)")
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.language.kernel import Kernel
    from kas.study.commands._kernels import find_trial

    if args.network and args.to not in NETWORK_FORMATS:
        raise KasError(f"--network goes with --to {' or '.join(NETWORK_FORMATS)}, not with --to {args.to}")
    if args.network and args.target is not None:
        raise KasError("--network writes all layers: --target goes without it")
    place = Place.of(args)
    study = open_study(place, args.name)
    trial = find_trial(study, args.kernel)
    kernel = Kernel.from_json(trial.user_attrs["program"])
    folder = StudyFolder(place.folder(args.name))
    suffix = NETWORK_FORMATS.get(args.to, f".{args.to}")
    out = Path(args.out) if args.out else folder.kernel(kernel.hash, f".network{suffix}" if args.network else suffix)
    if args.to in NETWORK_FORMATS and out.suffix != suffix:
        raise KasError(f"--out {out}: a file of this format ends in {suffix}")
    wanted = Wanted(study, trial, kernel, folder, args.target, args.network)
    try:
        said = FORMATS[args.to](wanted, out)
    except OSError as error:
        raise KasError(f"{out} cannot be written: {error.strerror}") from None
    print(f"{'network' if args.network else 'kernel'} {out}{said}")
    return 0


command = Command(
    summary="write a kernel of a study, or its network, as a file",
    description="""\
Write a kernel of a study as a file, or with --network the whole network that was trained with it, weights included.
  py                a standalone module that needs only torch, at the sizes of one replaced layer; run it to check it
  onnx              for inference, any batch; checked in onnxruntime against torch (needs `pip install "kas[export]"`)
  exported-program  the same for torch.export.load (.pt2), C++ and mobile runtimes; loaded and checked against torch
  svg, png, dot     its drawing, and the graph for Graphviz
  json              its program, the format that everything in kas reads""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study export digits --kernel 3f2a --to py --out kernel.py
  python -m kas.study export digits --kernel 3f2a --to py --target stages.2.0.conv2
  python -m kas.study export digits --kernel 3f2a --to onnx --network""",
)
