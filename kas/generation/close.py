"""Closing a program: join what is open into one tensor, and bring that to the form of an output."""

from __future__ import annotations

import numpy as np

from kas.generation.growth import Growth, pick
from kas.generation.join import fits, join, matrix_product, solve_join
from kas.language import Dim, Shape
from kas.language.dims import ONE
from kas.language.primitives.linear import Conv, Fc
from kas.language.primitives.reductions import Fold
from kas.language.rules import is_output
from kas.language.shapes import CHANNEL, SPATIAL, input_shape

__all__ = ["close"]

_C = Dim.of("C")
_MOST_STEPS = 16  # closing ends long before; every program can be closed by folding what is open


def close(growth: Growth, forbidden: list[str], rng: np.random.Generator) -> bool:
    """Close the program with as few steps as it takes. Says whether it worked (it does unless ops are forbidden)."""
    joins = [op for op in ("add", "mul", "add", "mul", "max") if op not in forbidden]
    for _ in range(_MOST_STEPS):
        if growth.closed:
            return True
        left = growth.open
        if len(left) > 1:
            done = joins and _merge(growth, left[-2], left[-1], joins, rng)
        elif is_output(growth.shapes[left[0]], growth.rank):
            done = _mix_channels(growth, left[0], rng)
        else:
            done = _reach_output(growth, left[0], joins, rng)
        if not done:
            return False
    return growth.closed


def _merge(growth: Growth, a: int, b: int, joins: list[str], rng: np.random.Generator) -> bool:
    """Join two open tensors: as they are, after solving, after a linear map, or after folding one of them."""
    if join(growth, pick(rng, joins), a, b, rng):
        return True
    if rng.random() < 0.3 and matrix_product(growth, a, b, rng, solve=False):
        return True
    if rng.random() < 0.5 and solve_join(growth, pick(rng, joins), a, b, rng):
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
            trial = growth.copy()
            if not trial.add(Fc((one,), to=yours.product, side=_side(ours, number))):
                continue
            new = trial.shapes[-1]
            if fits(new, theirs) or fits(theirs, new):
                growth.become(trial)
                return True
    return False


def _side(shape: Shape, number: int) -> int | None:
    """How a step names a channel side: not at all where it is the first."""
    return number if number == 1 and shape.first.kind == CHANNEL else None


def _fold_away(growth: Growth, i: int) -> bool:
    """Remove the axes of one side, positions first, so that the tensor broadcasts more easily."""
    shape = growth.shapes[i]
    numbers = sorted((0, 1), key=lambda n: shape.sides[n].kind != SPATIAL)
    for number in numbers:
        axes = tuple(f"{number}.{name}" for name, _ in shape.sides[number].axes())
        for how in ("mean", "max"):
            if axes and growth.add(Fold((i,), axes=axes, how=how), filtered=False):
                return True
    return False


def _mix_channels(growth: Growth, i: int, rng: np.random.Generator) -> bool:
    """The program is complete but moves nothing: a convolution or a linear map at its end."""
    shape = growth.shapes[i]
    if shape.first.kind == CHANNEL and growth.rank and rng.random() < 0.5:
        k = (3, 3 if growth.rank == 2 else 1)
        if growth.add(Conv((i,), to=_C, k=k, d=(1, 1)), filtered=False):
            return True
    return growth.add(Fc((i,), to=_C), filtered=False)


def _reach_output(growth: Growth, i: int, joins: list[str], rng: np.random.Generator) -> bool:
    """One step from the only open tensor towards the form of an output."""
    shape = growth.shapes[i]
    want = input_shape(growth.rank).second
    kinds = sorted(side.kind for side in shape)
    if kinds == [CHANNEL, SPATIAL] and want in shape:
        number = 0 if shape.first.kind == CHANNEL else 1
        taps = tuple(f"{number}.{n}" for n, _ in shape.sides[number].axes() if n in ("kh", "kw"))
        if taps and rng.random() < 0.2 and growth.add(Fold((i,), axes=taps, how="mean")):
            return True
        if growth.add(Fc((i,), to=_C), filtered=False):
            return True
    whole = [t for t, s in enumerate(growth.shapes) if t != i and is_output(s, growth.rank) and s.first.kind == CHANNEL]
    if joins:
        for other in sorted(whole, reverse=True):
            if fits(shape, growth.shapes[other]) and join(growth, pick(rng, joins), i, other, rng):
                return True
    if rng.random() < 0.5:
        for other in sorted(whole, reverse=True):
            if matrix_product(growth, i, other, rng, solve=False):
                return True
    return _fold_away(growth, i)
