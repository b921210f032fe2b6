"""The number of channels that a linear map goes to: the channels of the target, a part of them, or a free variable."""

from __future__ import annotations

from functools import lru_cache

from kas.generation.choice import Choice, Random, pick
from kas.generation.growth import Growth
from kas.language import Dim
from kas.language.dims import FREE_VARIABLES, ONE

__all__ = ["width"]

_C, _G = Dim.of("C"), Dim.of("G")
_FIXED = {_C: 4.0, _C / Dim.of(2): 0.7, _C / Dim.of(4): 0.7, _C * Dim.of(2): 0.5}
_MAX_FREE = 4  # free variables in a sampled program; more make no difference to the budget
_FRESH, _HEADS = 2.5, 0.8  # a new variable, and a new one for each of G groups, against one that is in use


def width(growth: Growth, groups: Dim, rng: Random) -> Dim:
    """A number of channels that a linear map may go to, divisible by `groups`."""
    if groups is not ONE and groups is not _G:
        return pick(rng, [groups, groups, groups * Dim.of(2)])
    share = growth.moves.settings.free_widths
    options = _options(growth.variables, growth.wide or rng.random() < share, groups is _G)
    return options.draw(rng) if options else _C


@lru_cache(maxsize=1 << 12)
def _options(variables: int, free: bool, grouped: bool) -> Choice[Dim]:
    """The widths to choose from; `variables` are those in use, one bit for each."""
    weights = _free(variables) if free else _FIXED
    return Choice({dim: weight for dim, weight in weights.items() if not (grouped and (dim / _G).fault)})


def _free(variables: int) -> dict[Dim, float]:
    names = [(Dim.symbol(name), variables >> i & 1) for i, name in enumerate(FREE_VARIABLES)]
    used = [dim for dim, taken in names if taken]
    weights = {dim: 1.5 / len(used) for dim in used}
    if len(used) < _MAX_FREE:
        fresh = next(dim for dim, taken in names if not taken)
        weights[fresh] = _FRESH
        weights[_G * fresh] = _HEADS
    return weights
