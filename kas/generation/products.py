"""Drawing products of two tensors for each group, window, row or column, and at each position."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import Any

from kas.generation.choice import Random, pick
from kas.generation.growth import Growth
from kas.language import Dim, InvalidKernel, Shape, Side, Step
from kas.language.dims import ONE
from kas.language.primitives.linear import Fc
from kas.language.primitives.products import Bmm, Reassemble, contraction
from kas.language.primitives.reductions import Softmax
from kas.language.primitives.spatial import Unfold
from kas.language.primitives.views import Group
from kas.language.primitives.windows import Col2im, Subpixel

__all__ = ["batched_product", "reassembly"]

_TRANSPOSES = ((False, False), (False, True), (True, False), (True, True))
_MOST_BATCH = 3
_G = Dim.of("G")


@lru_cache(maxsize=1 << 12)
def _products(left: Shape, right: Shape) -> tuple[tuple[bool, tuple[str, ...], tuple[bool, bool]], ...]:
    """Whether swapped, which axes to batch over and which operands to transpose, so that two tensors can be multiplied."""
    ours, theirs = _single_axes(left), _single_axes(right)
    shared = [name for name in ("g", "kh", "kw", "h", "w") if name in ours and ours[name] is theirs.get(name)]
    found = []
    for swapped in (False, True):
        pair = (right, left) if swapped else (left, right)
        for count in range(1, min(len(shared), _MOST_BATCH) + 1):
            for batch in combinations(shared, count):
                found += [(swapped, batch, t) for t in _TRANSPOSES if _fits(batch, t, *pair)]
    return tuple(found)


def _single_axes(shape: Shape) -> dict[str, Dim]:
    """The axes of a tensor whose names only one of its sides has."""
    both = {name for name, _ in shape.first.axes()} & {name for name, _ in shape.second.axes()}
    return {full[2:]: dim for full, dim in shape.axes() if full[2:] not in both}


def _fits(batch: tuple[str, ...], t: tuple[bool, bool], left: Shape, right: Shape) -> bool:
    contracted = _rest(left.sides[not t[0]], batch)
    if contracted is ONE or contracted is not _rest(right.sides[t[1]], batch):
        return False
    try:
        contraction(Bmm((0, 0), batch, t), left, right)
    except InvalidKernel:
        return False
    return True


@lru_cache(maxsize=1 << 12)
def _rest(side: Side, batch: tuple[str, ...]) -> Dim:
    """What a side holds besides the axes of the batch."""
    rest = ONE
    for name, dim in side.axes():
        if name not in batch:
            rest = rest * dim
    return rest


def batched_product(growth: Growth, a: int, b: int, rng: Random) -> bool:
    """Add a bmm of two tensors. Says whether one fitted."""
    options = _products(growth.shapes[a], growth.shapes[b])
    if not options:
        return False
    swapped, batch, t = pick(rng, options)
    return growth.add(growth.moves.get(Bmm, batch, t, rng.random() < 0.4), (b, a) if swapped else (a, b))


def reassembly(growth: Growth, rng: Random, overlap: bool = False) -> bool:
    """Add a recombination of taps by a matrix made from the newest tensor: an involution.

    With `overlap` the result has taps too, which are added where they fall (outlook attention). The taps are unfolded and
    the matrix is made by a linear map, if need be by group, and a softmax. Says whether it fitted.
    """
    settings, facts, source = growth.moves.settings, growth.facts[growth.last], growth.last
    if not facts.image or facts.mixed or not facts.present or facts.g is not ONE:
        return False
    if not growth.may_branch:
        return False
    over = "".join(facts.present)
    k = min(settings.kernel_sizes) if overlap else pick(rng, settings.kernel_sizes)
    d = pick(rng, settings.dilations)
    taps = Dim.of(k ** len(over))
    grouped = rng.random() < 0.5
    trial = growth.copy()
    steps: list[tuple[type[Step], tuple[Any, ...]]] = [(Unfold, (over, k, d))]
    steps += [(Group, (_G,))] if grouped else []
    left = len(trial.steps) + len(steps)
    rows = taps * taps if overlap else taps
    steps += [(Fc, (rows * _G if grouped else rows,))]
    steps += [(Group, (_G,))] if grouped else []
    steps += [(Subpixel, (over, k))] if overlap else []
    steps += [(Softmax, (("0.c",),))] if settings.permits("softmax") and rng.random() < 0.5 else []
    steps += [(Reassemble, ())]
    steps += [(Col2im, (over, d))] if overlap else []
    for kind, attributes in steps:
        last = len(trial.steps)
        ins = (left, last) if kind is Reassemble else (source if kind in (Unfold, Fc) else last,)
        if not settings.permits(kind.op) or not trial.add(trial.moves.get(kind, *attributes), ins):
            return False
    growth.become(trial)
    return True
