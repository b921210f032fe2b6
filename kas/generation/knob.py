"""The knob: giving a program a free inner width, so that it can use its budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kas.generation.choice import Random, pick, shuffled
from kas.generation.growth import REPAIR, Growth
from kas.generation.moves import Move
from kas.language import Dim
from kas.language.primitives.linear import Conv, Fc
from kas.language.primitives.pointwise import Relu

__all__ = ["widened"]

Placed = tuple[Move, tuple[int, ...], str]  # a move, its operands, and its origin


def widened(growth: Growth, rng: Random) -> Iterator[Growth]:
    """Closed programs like this one with one more free width: first by freeing a width that it has, then by a bottleneck."""
    fresh = growth.fresh()
    if fresh is None:
        return
    order = shuffled(rng, range(len(growth.steps)))
    for i in order:
        step = growth.steps[i]
        if isinstance(step, Fc | Conv) and not step.to.variables and not getattr(step, "depthwise", False):
            placed = _placed(growth)
            placed[i] = (growth.moves.of(replace(step, to=fresh)), step.ins, growth.origins[i])
            yield from _legal(growth, placed)
    if len(growth.steps) + 2 > growth.moves.settings.max_steps:
        return
    for i in order:
        if growth.facts[i + 1].image and not growth.shapes[i + 1].first.product.fault:
            yield from _legal(growth, _bottleneck(growth, i + 1, fresh, rng))


def _placed(growth: Growth) -> list[Placed]:
    ins = [step.ins for step in growth.steps]
    return list(zip(growth.made, ins, growth.origins, strict=True))


def _bottleneck(growth: Growth, tensor: int, fresh: Dim, rng: Random) -> list[Placed]:
    """The steps with `conv or fc to x`, relu, `fc` back put behind a tensor, which must have channels and then positions."""
    moves, settings = growth.moves, growth.moves.settings
    size = pick(rng, settings.kernel_sizes)
    k = (size if moves.rank else 1, size if moves.rank == 2 else 1)
    down = moves.get(Conv, fresh, k) if moves.rank and rng.random() < 0.5 and settings.permits("conv") else moves.get(Fc, fresh)
    inserted = [down]
    if settings.permits("relu") and len(growth.steps) + 3 <= settings.max_steps:
        inserted.append(moves.get(Relu))
    inserted.append(moves.get(Fc, growth.shapes[tensor].first.product))
    placed, moved = _placed(growth), len(inserted)
    new: list[Placed] = [(move, (tensor + n,), REPAIR) for n, move in enumerate(inserted)]
    later = [(move, tuple(j + moved if j >= tensor else j for j in ins), origin) for move, ins, origin in placed[tensor:]]
    return [*placed[:tensor], *new, *later]


def _legal(growth: Growth, placed: list[Placed]) -> Iterator[Growth]:
    other = Growth(growth.moves)
    made, ins, origins = zip(*placed, strict=True)
    if other.rebuild(list(made), list(ins), list(origins)) and other.closed:
        yield other
