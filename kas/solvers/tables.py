"""Values of monomials at targets, kept: a dim is looked up, not computed again.

A `Table` knows what every dim is at each kind of target with one G; `facts` is what the solver reads off one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import NamedTuple

from kas.language.dims import SYMBOLS, Dim
from kas.language.primitives import Outcome
from kas.language.shapes import SPATIAL

__all__ = ["Extent", "Factors", "Facts", "Marks", "Monomial", "Table", "facts", "power_of_g"]

Factors = tuple[int, ...]  # variables, each as often as its power
Extent = tuple[int, tuple[int, ...]]  # channels and spatial size of a kind of target

_MOST = 1 << 14  # dims that one table keeps, and outcomes
_G = SYMBOLS.index("G")
_FIRST_FREE = SYMBOLS.index("x0")


class Monomial(NamedTuple):
    """A dim with C, H, W and G put in.

    factors: numbers of its free variables. values: the rest of it, at each kind of target; a Fraction where it is no integer.
    total: the sum of `values` over all templates of the network. whole: whether all values are integers.
    """

    factors: Factors
    values: tuple[int, ...]
    total: int
    whole: bool


class Table(dict[Dim, Monomial]):
    """Dims at each kind of target, with one G. Filled by looking up; emptied when it grows too large."""

    def __init__(self, kinds: Sequence[Extent], times: Sequence[int], groups: int):
        """`times`: the number of templates of each kind."""
        super().__init__()
        self.groups, self._times = groups, times
        self._symbols = [(c, *size, *(1 for _ in range(2 - len(size))), groups) for c, size in kinds]

    def __missing__(self, dim: Dim) -> Monomial:
        powers, free = dim.powers[:_FIRST_FREE], dim.powers[_FIRST_FREE:]
        exact = []
        for symbols in self._symbols:
            above = dim.numerator * prod([s**p for s, p in zip(symbols, powers, strict=True) if p > 0])
            below = dim.denominator * prod([s**-p for s, p in zip(symbols, powers, strict=True) if p < 0])
            exact.append(Fraction(above, below))
        whole = all(value.denominator == 1 for value in exact)
        values: tuple[int, ...] = tuple([int(value) for value in exact]) if whole else tuple(exact)  # type: ignore[arg-type]
        factors = tuple([number for number, power in enumerate(free) for _ in range(power)])
        total = sum([times * value for times, value in zip(self._times, values, strict=True)])
        if len(self) >= _MOST:
            self.clear()
        self[dim] = found = Monomial(factors, values, total, whole)
        return found


class Marks(NamedTuple):
    """What else a step's dims ask for.

    variables: numbers of the free variables; spatial, grouped: of those that are spatial axes, or the width of one of G
    groups (`G*x`). checked: dims and quotients that may be no integers. groups: G occurs.
    """

    variables: tuple[int, ...]
    spatial: tuple[int, ...]
    grouped: tuple[int, ...]
    checked: tuple[Dim, ...]
    groups: bool


class Facts(NamedTuple):
    """What the solver reads off one step: the elements of its tensor, its costs, and marks if there are any."""

    product: Dim
    macs: Dim | None
    params: Dim | None
    elementwise: tuple[int, Dim] | None
    marks: Marks | None


def power_of_g(dim: Dim) -> int:
    """The power of G."""
    return dim.powers[_G]


@lru_cache(maxsize=_MOST)
def facts(outcome: Outcome) -> Facts:
    """What the solver reads off one step."""
    axes = [(side.kind, dim) for side in (outcome.shape.first, outcome.shape.second) for _, dim in side.axes()]
    dims = list(dict.fromkeys([dim for _, dim in axes]))
    asked = [*dims, *outcome.quotients]
    marks = Marks(
        _numbers(asked),
        _numbers([dim for kind, dim in axes if kind == SPATIAL]),
        _numbers([dim for dim in dims if power_of_g(dim) > 0]),
        tuple([dim for dim in asked if dim.denominator > 1 or power_of_g(dim) < 0]),
        any(power_of_g(dim) for dim in asked),
    )
    return Facts(outcome.shape.product, outcome.macs, outcome.params, outcome.elementwise, marks if any(marks) else None)


def _numbers(dims: Sequence[Dim]) -> tuple[int, ...]:
    return tuple(sorted({int(name[1:]) for dim in dims for name in dim.variables}))
