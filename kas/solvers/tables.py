"""Values of monomials at targets, kept: a dim is looked up, not computed again.

A `Table` knows what every dim is at each kind of target with one G; `facts` is what a shape says about its dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import NamedTuple

from kas.language.dims import ONE, SYMBOLS, Dim
from kas.language.shapes import SPATIAL, Shape

__all__ = ["Factors", "Facts", "Monomial", "Table", "facts", "must_divide", "power_of_g"]

Factors = tuple[int, ...]  # numbers of variables, each as often as its power

_MOST = 1 << 14  # dims that one table keeps
_G = SYMBOLS.index("G")
_FIRST_FREE = SYMBOLS.index("x0")


class Monomial(NamedTuple):
    """A dim with C, H, W and G put in.

    factors: its free variables. values: the rest of it, at each kind of target; a Fraction where it is no integer.
    total: the sum of `values` over all templates of the network. whole: whether all values are integers.
    """

    factors: Factors
    values: tuple[int, ...]
    total: int
    whole: bool


class Table(dict[Dim, Monomial]):
    """Dims at each kind of target, with one G. Filled by looking up; emptied when it grows too large."""

    def __init__(self, places: Sequence[tuple[int, tuple[int, ...], int]], groups: int):
        """`places`: channels, spatial size and number of templates of each kind of target."""
        super().__init__()
        self.groups = groups
        self._symbols = [(c, *size, *(1 for _ in range(2 - len(size))), groups) for c, size, _ in places]
        self._times = [times for _, _, times in places]

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


class Facts(NamedTuple):
    """What a shape's dims ask for.

    product: elements of the tensor. variables: numbers of the free variables; spatial, grouped: of those that are spatial
    axes, or the width of one of G groups (`G*x`). checked: dims that are no integers by themselves. groups: G occurs.
    """

    product: Dim
    variables: tuple[int, ...]
    spatial: tuple[int, ...]
    grouped: tuple[int, ...]
    checked: tuple[Dim, ...]
    groups: bool

    @property
    def plain(self) -> bool:
        """Whether there is nothing to see to but the product."""
        return not (self.variables or self.checked or self.groups)


def power_of_g(dim: Dim) -> int:
    """The power of G."""
    return dim.powers[_G]


def must_divide(dim: Dim) -> bool:
    """Whether it depends on the target if a dim is an integer."""
    return dim.denominator > 1 or dim.powers[_G] < 0


@lru_cache(maxsize=_MOST)
def facts(shape: Shape) -> Facts:
    """What a shape's dims ask for."""
    kinds = [(side.kind, dim) for side in (shape.first, shape.second) for _, dim in side.axes()]
    dims = list(dict.fromkeys(dim for _, dim in kinds))
    product = ONE
    for _, dim in kinds:
        product = product * dim
    return Facts(
        product,
        _numbers(dims),
        _numbers([dim for kind, dim in kinds if kind == SPATIAL]),
        _numbers([dim for dim in dims if power_of_g(dim) > 0]),
        tuple([dim for dim in dims if must_divide(dim)]),
        any(power_of_g(dim) for dim in dims),
    )


def _numbers(dims: Sequence[Dim]) -> tuple[int, ...]:
    return tuple(sorted({int(name[1:]) for dim in dims for name in dim.variables}))
