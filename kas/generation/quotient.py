"""Quotients: only by what is away from zero."""

from __future__ import annotations

from kas.generation.choice import Random
from kas.generation.growth import Growth
from kas.generation.values import is_away_from_zero
from kas.language import OPS

__all__ = ["divide"]

_POSITIVE = ("sigmoid", "exp")


def divide(growth: Growth, left: int, right: int, rng: Random) -> bool:
    """Add a quotient of two tensors, the left one broadcast into the right one. Says whether one fitted.

    The divisor is the one of both that is away from zero; where none is, a positive function of one of them.
    """
    swaps = (False, True) if rng.random() < 0.5 else (True, False)
    for swap in swaps:
        if is_away_from_zero(left if swap else right, growth.steps):
            return growth.add(growth.moves.get(OPS["div"], swap), (left, right))
    function = _POSITIVE[int(rng.random() * len(_POSITIVE))]
    return growth.moves.settings.permits(function) and any(_divide_by(growth, function, left, right, swap) for swap in swaps)


def _divide_by(growth: Growth, function: str, left: int, right: int, swap: bool) -> bool:
    """Add a function of the divisor, then the quotient. Says whether both fitted."""
    trial = growth.copy()
    if not trial.add(trial.moves.get(OPS[function]), (left if swap else right,)):
        return False
    if len(trial.open) > len(growth.open) and not growth.may_branch:
        return False
    made = len(trial.steps)
    if not trial.add(trial.moves.get(OPS["div"], swap), (made, right) if swap else (left, made)):
        return False
    growth.become(trial)
    return True
