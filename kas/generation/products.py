"""Drawing products of two tensors for each group, window, row or column, and at each position."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np

from kas.generation.choice import pick
from kas.generation.growth import Growth
from kas.language import Dim, InvalidKernel, Shape
from kas.language.dims import ONE
from kas.language.primitives.linear import Fc
from kas.language.primitives.products import Bmm, Reassemble, contraction
from kas.language.primitives.reductions import Softmax
from kas.language.primitives.spatial import Unfold
from kas.language.primitives.views import Group

__all__ = ["batched_product", "reassembly"]

_TRANSPOSES = ((False, False), (False, True), (True, False), (True, True))
_MOST_BATCH = 3


@lru_cache(maxsize=1 << 12)
def _products(left: Shape, right: Shape) -> tuple[tuple[bool, tuple[str, ...], tuple[bool, bool]], ...]:
    """Whether swapped, which axes to batch over and which operands to transpose, so that two tensors can be multiplied."""
    shared = [name for name in ("g", "kh", "kw", "h", "w") if _has(left, name) and _has(right, name)]
    found = []
    for swapped in (False, True):
        pair = (right, left) if swapped else (left, right)
        for count in range(1, min(len(shared), _MOST_BATCH) + 1):
            for batch in combinations(shared, count):
                found += [(swapped, batch, t) for t in _TRANSPOSES if _fits(batch, t, *pair)]
    return tuple(found)


def _has(shape: Shape, name: str) -> bool:
    return any(full[2:] == name for full, _ in shape.axes())


def _fits(batch: tuple[str, ...], t: tuple[bool, bool], left: Shape, right: Shape) -> bool:
    try:
        parts = contraction(Bmm((0, 0), batch, t), left, right)
    except InvalidKernel:
        return False
    return parts.contracted is not ONE


def batched_product(growth: Growth, a: int, b: int, rng: np.random.Generator) -> bool:
    """Add a bmm of two tensors. Says whether one fitted."""
    options = _products(growth.shapes[a], growth.shapes[b])
    if not options:
        return False
    swapped, batch, t = pick(rng, options)
    return growth.add(growth.moves.get(Bmm, batch, t, rng.random() < 0.4), (b, a) if swapped else (a, b))


def reassembly(growth: Growth, rng: np.random.Generator) -> bool:
    """Add a recombination of taps by a matrix made from the newest tensor: an involution, or with taps as its result.

    The taps are unfolded and the matrix is made by a linear map, if need be by group, and a softmax. Says whether it fitted.
    """
    trial, source = growth.copy(), growth.last
    settings, facts = growth.moves.settings, growth.facts[source]
    if not facts.image or facts.mixed or not facts.present or facts.g is not ONE:
        return False
    k = pick(rng, settings.kernel_sizes)
    over = "".join(facts.present)
    if not all(settings.permits(op) for op in ("unfold", "fc", "reassemble")):
        return False
    if not trial.add(trial.moves.get(Unfold, over, k, pick(rng, settings.dilations)), (source,)):
        return False
    taps = Dim.of(k ** len(over))
    groups = Dim.of("G") if rng.random() < 0.5 and settings.permits("group") else ONE
    left = len(trial.steps)
    if groups is not ONE:
        if not trial.add(trial.moves.get(Group, groups), (left,)):
            return False
        left += 1
    if not trial.add(trial.moves.get(Fc, taps * groups), (source,)):
        return False
    if groups is not ONE and not trial.add(trial.moves.get(Group, groups), (len(trial.steps),)):
        return False
    if rng.random() < 0.5 and settings.permits("softmax"):
        trial.add(trial.moves.get(Softmax, ("0.c",)), (len(trial.steps),))
    if not trial.add(trial.moves.get(Reassemble), (left, len(trial.steps))):
        return False
    growth.become(trial)
    return True
