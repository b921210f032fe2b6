"""Joining two tensors: element-wise after a broadcast, or as a product of matrices, solving for a width where it must."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kas.generation.growth import Growth, pick
from kas.language import OPS, Dim, InvalidKernel, Shape, Side
from kas.language.primitives.binary import align
from kas.language.primitives.matmul import Matmul
from kas.solvers.shapes import solutions

__all__ = ["fits", "join", "matrix_product", "solve_join"]

_TRANSPOSES = ((False, False), (False, True), (True, False), (True, True))


def fits(left: Shape, right: Shape) -> bool:
    """Whether the left tensor broadcasts into the right one as it is."""
    try:
        for ours, theirs in zip(left, right, strict=True):
            align(ours, theirs)
    except InvalidKernel:
        return False
    return True


def join(growth: Growth, op: str, a: int, b: int, rng: np.random.Generator) -> bool:
    """Add an element-wise step of two tensors, either into the other. Says whether one fitted."""
    pairs = [(a, b), (b, a)] if rng.random() < 0.5 else [(b, a), (a, b)]
    for left, right in pairs:
        if fits(growth.shapes[left], growth.shapes[right]):
            swap = {"swap": rng.random() < 0.5} if op in ("sub", "div") else {}
            if growth.add(OPS[op]((left, right), **swap)):
                return True
    return False


def solve_join(growth: Growth, op: str, a: int, b: int, rng: np.random.Generator) -> bool:
    """As `join`, after making the channels of both equal by solving for a free variable."""
    options = []
    for ours, theirs in zip(growth.shapes[a], growth.shapes[b], strict=True):
        if not _aligned(ours, theirs):
            options.extend(solutions(ours.product, theirs.product))
    return _solve_one(growth, options, rng, lambda trial: join(trial, op, a, b, rng))


def matrix_product(growth: Growth, a: int, b: int, rng: np.random.Generator, *, solve: bool) -> bool:
    """Add a matmul of two tensors in any orientation that fits; with `solve`, after solving for a free variable."""
    softmax = rng.random() < 0.4
    orders = [(left, right, t) for left, right in ((a, b), (b, a)) for t in _TRANSPOSES]
    rng.shuffle(orders)
    for left, right, t in orders:
        if growth.add(Matmul((left, right), t=t, softmax=softmax)):
            return True
    if not solve:
        return False
    left, right, t = orders[0]
    contracted = growth.shapes[left].sides[not t[0]], growth.shapes[right].sides[t[1]]
    options = solutions(contracted[0].product, contracted[1].product)
    return _solve_one(growth, options, rng, lambda trial: trial.add(Matmul((left, right), t=t, softmax=softmax)))


def _aligned(ours: Side, theirs: Side) -> bool:
    for left, right in ((ours, theirs), (theirs, ours)):
        try:
            align(left, right)
        except InvalidKernel:
            continue
        return True
    return False


def _solve_one(
    growth: Growth, options: list[tuple[str, Dim]], rng: np.random.Generator, then: Callable[[Growth], bool]
) -> bool:
    """Try one of the solutions on a copy, then a step; the growth takes the copy over if both worked."""
    if not options:
        return False
    variable, by = pick(rng, options)
    trial = growth.copy()
    if trial.solve_for(variable, by) and then(trial):
        growth.become(trial)
        return True
    return False
