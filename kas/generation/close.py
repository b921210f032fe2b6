"""Closing a program: join what is open into one tensor, and bring that to the form of an output."""

from __future__ import annotations

from kas.generation.choice import Random, pick
from kas.generation.growth import Growth
from kas.generation.join import fits, join, matrix_product, solve_join
from kas.generation.windows import restore
from kas.language import Dim, Shape
from kas.language.dims import ONE
from kas.language.primitives.linear import Conv, Fc
from kas.language.primitives.reductions import Fold
from kas.language.shapes import CHANNEL, SPATIAL, input_shape

__all__ = ["close"]

_C = Dim.of("C")
_MOST_STEPS = 16  # closing ends long before; nearly every program can be closed by folding what is open


def close(growth: Growth, rng: Random) -> bool:
    """Close the program with as few steps as it takes. Says whether it worked."""
    settings, joins = growth.moves.settings, growth.moves.joins
    for _ in range(_MOST_STEPS):
        if growth.closed:
            return True
        left = growth.open
        certain = len(left) - 1 + (not growth.facts[left[-1]].output)
        if len(growth.steps) + certain > settings.max_steps:
            return False
        if len(left) > 1:
            done = _merge(growth, left[-2], left[-1], joins, rng)
        elif growth.facts[left[0]].output:
            done = _mix_channels(growth, left[0], rng)
        else:
            done = _reach_output(growth, left[0], joins, rng)
        if not done:
            return False
    return growth.closed


def _merge(growth: Growth, a: int, b: int, joins: list[str], rng: Random) -> bool:
    """Join two open tensors: as they are, after solving, after a linear map, or after folding one of them."""
    if joins and join(growth, pick(rng, joins), a, b, rng):
        return True
    if rng.random() < 0.3 and growth.moves.settings.permits("matmul") and matrix_product(growth, a, b, rng, solve=False):
        return True
    if joins and rng.random() < 0.5 and solve_join(growth, pick(rng, joins), a, b, rng):
        return True
    small, large = sorted((a, b), key=lambda i: _is_whole(growth.shapes[i]))
    if _map_channels(growth, small, large):
        return True
    return _fold_away(growth, small) or _fold_away(growth, large)


def _is_whole(shape: Shape) -> bool:
    """Whether a tensor has the positions of the input, after its channels."""
    return shape.first.kind == CHANNEL and shape.second.kind == SPATIAL and shape.second.product is not ONE


def _map_channels(growth: Growth, a: int, b: int) -> bool:
    """A linear map of one tensor to the channels of the other, if the rest of them fits."""
    for one, other in ((a, b), (b, a)):
        ours, theirs = growth.shapes[one], growth.shapes[other]
        for number, (mine, yours) in enumerate(zip(ours, theirs, strict=True)):
            if mine.kind != CHANNEL or yours.kind != CHANNEL or yours.product.fault:
                continue
            new = ours.with_side(number, mine.with_axes(g=ONE, c=yours.product, kh=ONE, kw=ONE))
            if not (fits(new, theirs) or fits(theirs, new)):
                continue
            if growth.add(growth.moves.get(Fc, yours.product, _side(ours, number)), (one,)):
                return True
    return False


def _side(shape: Shape, number: int) -> int | None:
    """How a step names a channel side: not at all where it is the first."""
    return number if number == 1 and shape.first.kind == CHANNEL else None


def _fold_away(growth: Growth, i: int) -> bool:
    """Remove the axes of one side, positions first, so that the tensor broadcasts more easily."""
    shape, facts = growth.shapes[i], growth.facts[i]
    for number in (0, 1) if shape.first.kind == SPATIAL else (1, 0):
        axes = facts.sides[number]
        for how in ("mean", "max"):
            if axes and growth.add(growth.moves.get(Fold, axes, how), (i,)):
                return True
    return False


def _mix_channels(growth: Growth, i: int, rng: Random) -> bool:
    """The program is complete but moves nothing: a convolution or a linear map at its end."""
    settings = growth.moves.settings
    if growth.facts[i].image and growth.moves.rank and rng.random() < 0.5:
        size = pick(rng, settings.kernel_sizes)
        k = (size, size if growth.moves.rank == 2 else 1)
        if growth.add(growth.moves.get(Conv, _C, k), (i,)):
            return True
    return growth.add(growth.moves.get(Fc, _C), (i,))


def _reach_output(growth: Growth, i: int, joins: list[str], rng: Random) -> bool:
    """One step from the only open tensor towards the form of an output."""
    shape, facts = growth.shapes[i], growth.facts[i]
    move = restore(growth, i)
    if move is not None and growth.add(move, (i,)):
        return True
    if shape.first.kind != shape.second.kind and input_shape(growth.moves.rank).second in shape.sides:
        fold = growth.moves.get(Fold, facts.taps, "mean") if facts.taps else None
        if fold is not None and rng.random() < 0.2 and growth.add(fold, (i,)):
            return True
        if growth.add(growth.moves.get(Fc, _C), (i,)) or (fold is not None and growth.add(fold, (i,))):
            return True
    whole = [t for t in reversed(range(len(growth.shapes))) if t != i and growth.facts[t].whole]
    if joins:
        for other in whole:
            if fits(shape, growth.shapes[other]) and join(growth, pick(rng, joins), i, other, rng):
                return True
    if rng.random() < 0.5 and growth.moves.settings.permits("matmul"):
        for other in whole:
            if matrix_product(growth, i, other, rng, solve=False):
                return True
    return _map_to_c(growth, i) or _fold_away(growth, i)


def _map_to_c(growth: Growth, i: int) -> bool:
    """A linear map of a tensor without positions to the channels of the input, into which it then broadcasts."""
    shape, facts = growth.shapes[i], growth.facts[i]
    if facts.positions or facts.channels is None or shape.first.kind != CHANNEL:
        return False
    return shape.first.product is not _C and growth.add(growth.moves.get(Fc, _C), (i,))
