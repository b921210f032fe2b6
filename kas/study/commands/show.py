"""`show KERNEL`: the program, the cost as formulas, a drawing; with --model also the sizes at each layer it would replace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import Infeasible, KasError
from kas.study.commands._base import Command, Place, add_place
from kas.study.schema import nearest

if TYPE_CHECKING:
    from kas.language.kernel import Kernel

__all__ = ["command"]

SHAPES = {2: (3, None, None), 1: (1, None), 0: (None,)}  # the input of a network for kernels of a rank; None: --size
BUDGET_KEYS = ("macs", "params", "memory", "work")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "kernel",
        metavar="KERNEL",
        type=str,
        help="a kernel file (.json), a known kernel (as bottleneck), or the hash of a kernel in any study, or its start",
    )
    parser.add_argument("--draw", type=str, metavar="FILE", help="where to draw it: .svg or .png (default: DIR/drawings)")
    parser.add_argument(
        "--model", type=str, metavar="NAME", help="show its sizes in this network (small_resnet, resnet18, any of torchvision)"
    )
    parser.add_argument("--size", type=int, default=224, help="the input size of that network (default: 224)")
    parser.add_argument(
        "--budget",
        type=str,
        action="append",
        default=[],
        metavar="KEY=RATIO",
        help="a limit for its sizes there, as macs=0.3 (macs, params, memory, work; may be repeated)",
    )
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.study.commands._kernels import find_kernel
    from kas.study.describe import cost_formulas, program_lines

    place = Place.of(args)
    kernel = find_kernel(args.kernel, place)
    name = _known_name(kernel)
    print(f"kernel {kernel.hash}{f'  ({name})' if name else ''}  rank {kernel.rank}, {len(kernel.steps)} steps")
    print(f"family {kernel.family}{'  tied to one size' if kernel.fixed_size else ''}\n")
    print("\n".join(program_lines(kernel)))
    print("\ncost of one sample")
    for key, formula in cost_formulas(kernel).items():
        print(f"  {key:<12} {formula}")
    drawing = Path(args.draw) if args.draw else place.dir / "drawings" / f"{kernel.hash}.svg"
    print(f"\ndrawing {_draw(kernel, drawing)}")
    if args.model:
        print("\n" + "\n".join(_sizes(kernel, args.model, args.size, _budget(args.budget))))
    return 0


def _known_name(kernel: Kernel) -> str | None:
    from kas import zoo

    return next((name for name in zoo.names(kernel.rank) if zoo.get(name).hash == kernel.hash), None)


def _draw(kernel: Kernel, path: Path) -> Path:
    if path.suffix not in (".svg", ".png"):
        raise KasError(f"--draw {path}: a drawing is a .svg or a .png file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return kernel.draw(path)
    except OSError as error:
        raise KasError(f"the drawing {path} cannot be written: {error.strerror}; choose a file with --draw") from None


def _budget(texts: list[str]) -> dict[str, float] | None:
    budget = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in BUDGET_KEYS:
            near = nearest(key, list(BUDGET_KEYS))
            raise KasError(
                f"--budget {text}: the limits are {', '.join(BUDGET_KEYS)}{f'; did you mean {near}?' if near else ''}"
            )
        try:
            budget[key] = float(value)
        except ValueError:
            raise KasError(f"--budget {text}: must be a limit and a number, as in macs=0.3") from None
    return budget or None


def _sizes(kernel: Kernel, model: str, size: int, budget: dict[str, float] | None) -> list[str]:
    """A table of the layers that the kernel would replace in a network, with its sizes and costs there."""
    if size < 1:
        raise KasError(f"--size must be at least 1, not {size}")
    import torch

    from kas import cost, find_targets, solve
    from kas.evaluation.models import make_model
    from kas.evaluation.settings import ModelSettings

    shape = tuple(size if axis is None else axis for axis in SHAPES[kernel.rank])
    network = make_model(ModelSettings(name=model), 1000, shape).eval()
    targets = find_targets(network, torch.zeros(1, *shape), rank=kernel.rank)
    try:
        sizes = solve(kernel, targets, budget=budget)
    except Infeasible as error:
        return [f"in {model} at {size}: infeasible: {error}"]
    rows = [("layer", "in → out", "size", "sizes", "MACs", "of replaced")]
    for target in targets:
        values = sizes.values[target.name]
        at = cost(kernel, target.channels, target.size, sizes.groups, values)
        macs = target.adapter.templates * at.macs + target.adapter.macs
        shown = " ".join(f"{key}={value}" for key, value in values.items()) or "-"
        rows.append(
            (
                target.name,
                f"{target.in_channels} → {target.out_channels}",
                "x".join(map(str, target.size)) or "-",
                shown,
                f"{macs:,}",
                f"{macs / target.macs:.2f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    macs, params = sum(target.macs for target in targets), sum(target.params for target in targets)
    return [
        f"in {model} at {size}, G = {sizes.groups}",
        *lines,
        f"all layers: {sizes.macs:,} MACs ({sizes.macs / macs:.2f} of replaced), "
        f"{sizes.params:,} parameters ({sizes.params / params:.2f} of replaced)",
    ]


command = Command(
    summary="show a kernel: program, cost, drawing, sizes in a network",
    description="Show a kernel: its program with the shape of every tensor, its cost as formulas, and where its drawing is.",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study show bottleneck
  python -m kas.study show runs/digits/kernels/3f2a90c1.json --draw kernel.png
  python -m kas.study show 3f2a --model resnet18 --size 224 --budget macs=0.3""",
)
