"""`show KERNEL`: the program, the cost as formulas, a drawing; with --model also the sizes at each layer it would replace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import Infeasible, KasError
from kas.study.commands._base import Command, Place, add_place, whole

if TYPE_CHECKING:
    from torch import nn

    from kas.language.kernel import Kernel
    from kas.solvers import Target

__all__ = ["command"]

SHAPES = {2: (3, None, None), 1: (1, None), 0: (None,)}  # the input of a network for kernels of a rank; None: --size
_WIDTH = 110  # columns that the tables have at least: a narrower terminal breaks lines, but shows all
_TITLES = {"macs": "MACs", "params": "parameters", "elementwise": "element-wise", "memory": "peak bytes"}


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
    for key, kind, example in (("targets", "name", "layer3.*.conv2, layer?.?"), ("types", "class", "Conv2d, BasicBlock")):
        words = f"what it replaces there, layers or blocks, by {kind}, as {example}; may be given more than once"
        parser.add_argument(f"--{key}", type=str, action="append", metavar=kind.upper(), help=words)
    parser.add_argument("--size", type=whole, default=224, help="the input size of that network (default: 224)")
    parser.add_argument(
        "--budget",
        type=str,
        action="append",
        default=[],
        metavar="KEY=RATIO,...",
        help="limits for its sizes there, as macs=0.5,params=0.5: the most MACs, params, memory or work, as a ratio to "
        "the layers that it replaces (default: macs=1,params=1 where it has free widths)",
    )
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.solvers.formulas import text
    from kas.study.commands._kernels import find_kernel
    from kas.study.display.describe import program_lines
    from kas.zoo.matching import name_of

    place, budget = Place.of(args), _budget(args.budget)
    given = {"--budget limits the sizes": budget, "--targets chooses": args.targets, "--types chooses": args.types}
    if args.model is None and (said := [what for what, value in given.items() if value]):
        raise KasError(f"{said[0]} in a network: name one with --model, as --model resnet18")
    kernel = find_kernel(args.kernel, place)
    name = name_of(kernel.hash)
    print(f"kernel {kernel.hash}{f'  ({name})' if name else ''}  rank {kernel.rank}, {len(kernel.steps)} steps")
    print(f"family {kernel.family}{'  tied to one size' if kernel.fixed_size else ''}\n")
    print("\n".join(program_lines(kernel)))
    print("\ncost of one sample")
    formulas = text(kernel)
    for key, title in _TITLES.items():
        print(f"  {title:<12} {formulas[key]}")
    print(f"\ndrawing {_drawn(kernel, args.draw, place)}")
    return _print_sizes(kernel, args, budget) if args.model else 0


def _drawn(kernel: Kernel, given: str | None, place: Place) -> str:
    """Where the drawing is. One that was not asked for may be missing, where the folder cannot be written."""
    if given:
        return str(_draw(kernel, Path(given)))
    try:
        return str(_draw(kernel, place.dir / "drawings" / f"{kernel.hash}.svg"))
    except KasError as error:
        return f"none: {error}"


def _draw(kernel: Kernel, path: Path) -> Path:
    if path.suffix not in (".svg", ".png"):
        raise KasError(f"--draw {path}: a drawing is a .svg or a .png file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return kernel.draw(path)
    except OSError as error:
        raise KasError(f"the drawing {path} cannot be written: {error.strerror}; choose a file with --draw") from None


def _budget(texts: list[str]) -> dict[str, float]:
    """The limits that --budget names. Raises KasError for what is no limit."""
    from kas.solvers.limits import parse_budget

    budget = {}
    for text in [part for one in texts for part in one.split(",")]:
        key, _, value = text.partition("=")
        try:
            budget[key.strip()] = float(value)
        except ValueError:
            raise KasError(f"--budget {text}: must be a limit and a number, as in macs=0.3") from None
    parse_budget(budget)
    return budget


def _print_sizes(kernel: Kernel, args: Any, budget: dict[str, float]) -> int:
    """Print what the kernel would replace in a network, with its sizes and costs there. Returns the exit code."""
    from kas.reporting.layers import alike
    from kas.solvers import solve
    from kas.solvers.describing import describe_targets
    from kas.solvers.questions import DEFAULT
    from kas.study.commands._network import formula_table, size_table
    from kas.study.display.lines import make_console

    targets = _targets(kernel, args)
    limits = budget or (DEFAULT if kernel.variables else {})
    said = ", ".join(f"{key} {value:g}" for key, value in limits.items()) or "none"
    where = "x".join([str(args.size)] * max(kernel.rank, 1))
    what = "blocks" if targets[0].block else "layers"
    print(f"\nin {args.model} at {where}: {len(targets)} {what}; budget (ratio to the {what} it replaces): {said}")
    if targets[0].block:
        print(describe_targets(targets))
    try:
        sizes = solve(kernel, targets, budget=limits or None)
    except Infeasible as error:
        print(f"infeasible: {error}")
        return 1
    if kernel.uses_groups:
        print(f"G = {sizes.groups} in all layers")
    console, layers = make_console(), alike(kernel, targets, sizes.groups, sizes.values)
    console.width = max(console.width, _WIDTH)
    console.print()
    console.print(size_table(layers, sizes))
    if limits:
        rest = "no other sizes use more" if sizes.exact else f"other sizes could use at most {sizes.gap:.2%} more"
        used = ", ".join(f"{use:.2%} of {key}" for key, use in sizes.use.items())
        print(f"\nused of the budget: {used}{f'; {rest}' if kernel.variables else ''}")
    if kernel.variables:
        print("\nthe cost of each layer as a formula, its adapter included\n")
        console.print(formula_table(kernel, layers, sizes.groups))
    return 0


def _targets(kernel: Kernel, args: Any) -> list[Target]:
    """The layers or blocks of a network that a kernel would replace."""
    if args.size < 1:
        raise KasError(f"--size must be at least 1, not {args.size}")
    import torch

    from kas import find_targets

    network, shape = _network(kernel.rank, args.model, args.size)
    return find_targets(network, torch.zeros(1, *shape), rank=kernel.rank, names=args.targets, types=args.types)


def _network(rank: int, model: str, size: int) -> tuple[nn.Module, tuple[int, ...]]:
    """A network, and the input that it takes: that of the rank, or images where kernels of rank 1 stand between tokens."""
    from kas.evaluation.models import make_model
    from kas.evaluation.settings import ModelSettings

    ranks = [rank, 2] if rank == 1 else [rank]
    for index, tried in enumerate(ranks):
        shape = tuple(size if axis is None else axis for axis in SHAPES[tried])
        try:
            return make_model(ModelSettings(name=model), 1000, shape).eval(), shape
        except KasError:
            if index == len(ranks) - 1:
                raise
    raise AssertionError("the loop returns or raises")


command = Command(
    summary="show a kernel: program, cost, drawing, sizes in a network",
    description="Show a kernel: its program with the shape of every tensor, its cost as formulas, and where its drawing is;"
    " with --model also its sizes in a network: each free width (x0, x1 ...), G, and what it costs there.",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study show bottleneck
  python -m kas.study show runs/digits/kernels/3f2a90c1.json --draw kernel.png
  python -m kas.study show 3f2a --model resnet18 --size 224 --budget macs=0.5,params=0.5
  python -m kas.study show bottleneck --model resnext50_32x4d --types Bottleneck""",
)
