"""Values of monomials at targets, kept: a dim is looked up, not computed again.

A `Table` knows what every dim is at each kind of target with one G; `facts_of` is what the solver reads off steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from kas.language.dims import SYMBOLS, Dim
from kas.language.primitives import Outcome
from kas.language.shapes import SPATIAL, Shape

__all__ = ["Extent", "Factors", "Facts", "Free", "Marks", "Monomial", "Table", "facts_of", "joined", "power_of_g"]

Factors = tuple[int, ...]  # variables, each as often as its power
Extent = tuple[int, tuple[int, ...]]  # channels and spatial size of a kind of target

_MOST = 1 << 14  # dims that one table keeps, and outcomes
_G = SYMBOLS.index("G")


class Monomial(NamedTuple):
    """A dim with C, H, W and G put in.

    factors: numbers of its free variables. values: the rest of it, at each kind of target; a Fraction where it is no integer.
    total: the sum of `values` over all templates of the network. whole: whether all values are integers.
    loads: `values` over all templates of each kind.
    """

    factors: Factors
    values: tuple[int, ...]
    total: int
    whole: bool
    loads: list[int]


class Table(dict[Dim, Monomial]):
    """Dims at each kind of target, with one G. Filled by looking up; emptied when it grows too large."""

    def __init__(self, kinds: Sequence[Extent], times: Sequence[int], groups: int):
        """`times`: the number of templates of each kind."""
        super().__init__()
        self.groups, self._times = groups, times
        self._symbols = [{"C": c, **dict(zip("HW", size, strict=False)), "G": groups} for c, size in kinds]

    def __missing__(self, dim: Dim) -> Monomial:
        bound = [(symbol, power) for symbol, power in dim.factors if symbol[0] != "x"]
        free = [(int(symbol[1:]), power) for symbol, power in dim.factors if symbol[0] == "x"]
        values = tuple([_value(dim, bound, symbols) for symbols in self._symbols])
        whole = Fraction not in map(type, values)
        factors = tuple([number for number, power in free for _ in range(power)])
        loads = [times * value for times, value in zip(self._times, values, strict=True)]
        if len(self) >= _MOST:
            self.clear()
        self[dim] = found = Monomial(factors, values, sum(loads), whole, loads)
        return found


def _value(dim: Dim, bound: Sequence[tuple[str, int]], symbols: dict[str, int]) -> int:
    """A dim without its free variables; a Fraction where that is no integer."""
    above, below = dim.numerator, dim.denominator
    for symbol, power in bound:
        if power > 0:
            above *= symbols.get(symbol, 1) ** power
        else:
            below *= symbols.get(symbol, 1) ** -power
    if above % below:
        return Fraction(above, below)  # type: ignore[return-value]
    return above // below


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What else a step's dims ask for. Equal marks are one object, as a rule.

    variables: numbers of the free variables; spatial, grouped: of those that are spatial axes, or the width of one of G
    groups (`G*x`). checked: dims and quotients that may be no integers. groups: G occurs.
    """

    variables: tuple[int, ...]
    spatial: tuple[int, ...]
    grouped: tuple[int, ...]
    checked: tuple[Dim, ...]
    groups: bool


class Facts(NamedTuple):
    """What the solver reads off one step: its costs, each with how often it counts, and marks if there are any."""

    macs: tuple[int, Dim] | None
    params: tuple[int, Dim] | None
    elementwise: tuple[int, Dim] | None
    marks: Marks | None
    outcome: Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Free:
    """The marks of all steps together. Equal ones are one object, as a rule.

    numbers, variables: the free variables, by number and by name. index: the place of each number. The rest is as in `Marks`.
    """

    numbers: tuple[int, ...]
    variables: tuple[str, ...]
    index: dict[int, int]
    spatial: frozenset[int]
    grouped: frozenset[int]
    checked: tuple[Dim, ...]
    groups: bool


def power_of_g(dim: Dim) -> int:
    """The power of G."""
    return dim.powers[_G]


_SEEN: dict[int, Facts] = {}  # by the identity of an outcome, which is kept: hashing one takes longer


def facts_of(outcomes: Iterable[Outcome]) -> list[Facts]:
    """What the solver reads off steps."""
    seen = _SEEN
    return [seen[id(outcome)] if id(outcome) in seen else _read(outcome) for outcome in outcomes]


def _read(outcome: Outcome) -> Facts:
    """What the solver reads off a step that is new to it."""
    if len(_SEEN) >= _MOST:
        _SEEN.clear()
    macs, params = outcome.macs, outcome.params
    known = _SEEN[id(outcome)] = Facts(
        None if macs is None else (1, macs),
        None if params is None else (1, params),
        outcome.elementwise,
        _marks_of(outcome.shape, outcome.quotients),
        outcome,
    )
    return known


@lru_cache(maxsize=_MOST)
def _marks_of(shape: Shape, quotients: tuple[Dim, ...]) -> Marks | None:
    """The marks of a step that makes a tensor of this shape."""
    axes = [(side.kind, dim) for side in shape.sides for _, dim in side.axes()]
    dims = list(dict.fromkeys([dim for _, dim in axes]))
    asked = [*dims, *quotients]
    marks = (
        _numbers(asked),
        _numbers([dim for kind, dim in axes if kind == SPATIAL]),
        _numbers([dim for dim in dims if power_of_g(dim) > 0]),
        tuple([dim for dim in asked if dim.denominator > 1 or power_of_g(dim) < 0]),
        any(power_of_g(dim) for dim in asked),
    )
    return _marks(*marks) if any(marks) else None


_marks = lru_cache(maxsize=_MOST)(Marks)


@lru_cache(maxsize=_MOST)
def joined(every: tuple[Marks, ...]) -> Free:
    """The marks of several steps as one."""
    numbers = tuple(sorted({number for marks in every for number in marks.variables}))
    return Free(
        numbers,
        tuple([f"x{number}" for number in numbers]),
        {number: i for i, number in enumerate(numbers)},
        frozenset([number for marks in every for number in marks.spatial]),
        frozenset([number for marks in every for number in marks.grouped]),
        tuple(dict.fromkeys([dim for marks in every for dim in marks.checked])),
        any(marks.groups for marks in every),
    )


def _numbers(dims: Sequence[Dim]) -> tuple[int, ...]:
    return tuple(sorted({int(name[1:]) for dim in dims for name in dim.variables}))
