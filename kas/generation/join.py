"""Joining two tensors: element-wise after a broadcast, or as a product of matrices, solving for a width where it must."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from kas.generation.choice import Random, pick
from kas.generation.growth import Growth
from kas.generation.quotient import divide
from kas.language import OPS, Dim, Shape, Side
from kas.language.primitives.matmul import Matmul
from kas.solvers.shapes import solutions

__all__ = ["fits", "fits_either", "join", "matrix_product", "solve_join"]

_TRANSPOSES = ((False, False), (False, True), (True, False), (True, True))


_LAST_VARIABLE = 0.1  # chance that the only free variable is solved for where there is a budget


def _aligns(left: Side, right: Side) -> bool:
    """Whether `kas.language.primitives.binary.align` finds a broadcast: by name, or by a legal multiplier."""
    return not (right.product / left.product).fault or set(left.axes()) <= set(right.axes())


@lru_cache(maxsize=1 << 14)
def fits(left: Shape, right: Shape) -> bool:
    """Whether the left tensor broadcasts into the right one as it is."""
    return _aligns(left.first, right.first) and _aligns(left.second, right.second)


def fits_either(one: Shape, other: Shape) -> bool:
    """Whether one of two tensors broadcasts into the other as it is."""
    return fits(one, other) or fits(other, one)


def join(growth: Growth, op: str, a: int, b: int, rng: Random) -> bool:
    """Add an element-wise step of two tensors, either into the other. Says whether one fitted."""
    pairs = ((a, b), (b, a)) if rng.random() < 0.5 else ((b, a), (a, b))
    shapes, moves = growth.shapes, growth.moves
    for left, right in pairs:
        if fits(shapes[left], shapes[right]):
            if op == "div":
                if divide(growth, left, right, rng):
                    return True
                continue
            move = moves.get(OPS[op], rng.random() < 0.5) if op == "sub" else moves.get(OPS[op])
            if growth.add(move, (left, right)):
                return True
    return False


def solve_join(growth: Growth, op: str, a: int, b: int, rng: Random) -> bool:
    """As `join`, after making the channels of both equal by solving for a free variable."""
    options: list[tuple[str, Dim]] = []
    for ours, theirs in zip(growth.shapes[a], growth.shapes[b], strict=True):
        if not (_aligns(ours, theirs) or _aligns(theirs, ours)):
            options.extend(solutions(ours.product, theirs.product))
    return _solve_one(growth, options, rng, lambda trial: join(trial, op, a, b, rng))


@lru_cache(maxsize=1 << 14)
def _products(left: Shape, right: Shape) -> tuple[tuple[bool, tuple[bool, bool]], ...]:
    """The orders and transposes in which two tensors can be multiplied: (whether swapped, which to transpose)."""
    found = []
    for swapped in (False, True):
        l, r = (right, left) if swapped else (left, right)  # noqa: E741 - as in the language
        for t in _TRANSPOSES:
            if l.sides[not t[0]].product is r.sides[t[1]].product:
                found.append((swapped, t))
    return tuple(found)


def matrix_product(growth: Growth, a: int, b: int, rng: Random, *, solve: bool) -> bool:
    """Add a matmul of two tensors in an orientation that fits; with `solve`, after solving for a free variable."""
    options = _products(growth.shapes[a], growth.shapes[b])
    softmax = rng.random() < 0.4
    if options:
        swapped, t = pick(rng, options)
        return growth.add(growth.moves.get(Matmul, t, softmax), (b, a) if swapped else (a, b))
    if not solve:
        return False
    left, right = (a, b) if rng.random() < 0.5 else (b, a)
    t = pick(rng, _TRANSPOSES)
    contracted = growth.shapes[left].sides[not t[0]], growth.shapes[right].sides[t[1]]
    move = growth.moves.get(Matmul, t, softmax)
    return _solve_one(
        growth, solutions(contracted[0].product, contracted[1].product), rng, lambda trial: trial.add(move, (left, right))
    )


def _solve_one(growth: Growth, options: list[tuple[str, Dim]], rng: Random, then: Callable[[Growth], bool]) -> bool:
    """Try one of the solutions on a copy, then a step; the growth takes the copy over if both worked.

    The last free variable is rarely solved for: the budget needs it.
    """
    last = not growth.variables & (growth.variables - 1)
    if not options or (last and growth.moves.limits.ceilings and rng.random() >= _LAST_VARIABLE):
        return False
    variable, by = pick(rng, options)
    trial = growth.copy()
    if trial.solve_for(variable, by) and then(trial):
        growth.become(trial)
        return True
    return False
