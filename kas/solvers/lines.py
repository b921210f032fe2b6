"""The commonest kernel, faster still: one free variable, of which every limited cost is a linear function.

The steps are those of `quick`. A cost of the network is a constant and a load for each kind of target, which is what one
more of the variable costs at all templates of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add, mul
from typing import NamedTuple

from kas.solvers.filling import FULL, GROWTH
from kas.solvers.plans import Plan
from kas.solvers.questions import Network, terms_of
from kas.solvers.tables import Table

__all__ = ["MOST_GROWTH", "fill_lines", "largest_scale", "lines_of"]

_BISECTIONS = 12
MOST_GROWTH = 2.0  # how much the second pass may widen a variable, so that the targets stay balanced


class Line(NamedTuple):
    """A limited cost: the limit, less what does not depend on the variable, and the load of each kind of target."""

    total: int
    room: int
    loads: Sequence[int]


def lines_of(network: Network, plan: Plan, table: Table) -> list[Line] | None:
    """Each limited cost of a kernel with one variable; None if one of them is not linear."""
    lines = []
    for limit in network.free_sums:
        constant, loads = network.fixed_costs[limit.key], network.no_loads
        for count, dim in terms_of(plan, limit.key):
            factors, _, whole, integral, more = table[dim]
            if not factors:
                constant += count * whole
                continue
            if len(factors) > 1 or not integral:
                return None
            if count > 1:
                more = [count * load for load in more]
            loads = more if loads is network.no_loads else [*map(add, loads, more)]
        lines.append(Line(limit.total, limit.total - constant, loads))
    return lines


def fill_lines(network: Network, lines: Sequence[Line], axis: Sequence[float]) -> tuple[list[int], list[int]] | None:
    """The variable at each kind of target, and what is left of each limit; None if not even 1 fits.

    `axis`: what the variable stands for at each kind.
    """
    filling = _Filling(lines, axis, network.members, network.multiple_of)
    if not filling.put(_scale(lines, axis)):
        return None
    filling.grow(GROWTH)
    if filling.use() < FULL:
        filling.grow(MOST_GROWTH)
    return filling.values, filling.left


def _scale(lines: Sequence[Line], axis: Sequence[float]) -> float:
    """The largest scale within all limits."""
    scale = 1e12
    for _, room, loads in lines:
        if room <= 0:
            return 0.0
        slope = sum(map(mul, loads, axis))
        if slope and room / slope < scale:
            scale = room / slope
    return scale


class _Filling:
    """The variable at each kind of target, and what that leaves of each limit."""

    def __init__(self, lines: Sequence[Line], axis: Sequence[float], members: Sequence[int], coarse: int):
        self._lines, self._axis, self._members, self._coarse = lines, axis, members, coarse

    def put(self, scale: float) -> bool:
        """Put the variable to one scale, a smaller one where values of 1 cost more than it gives; False if they do not fit."""
        return largest_scale(self._round, scale)

    def _round(self, scale: float) -> bool:
        """Put the variable to a scale, rounded down; whether this keeps to the limits."""
        coarse = self._coarse
        values = [int(scale * width) or 1 for width in self._axis]
        if coarse > 1:
            values = [value - value % coarse if value >= coarse else value for value in values]
        self.values = values
        self.left: list[int] = [room - sum(map(mul, loads, values)) for _, room, loads in self._lines]
        return min(self.left) >= 0

    def use(self) -> float:
        """Of the tighter limit."""
        return max([1 - rest / line[0] for rest, line in zip(self.left, self._lines)])  # noqa: B905 - the hot path

    def grow(self, growth: float) -> None:
        """Give what is left to one kind of target after another, the dearest step of the tight limit first."""
        coarse, values, left = self._coarse, self.values, self.left
        uses = [1 - rest / line[0] for rest, line in zip(left, self._lines)]  # noqa: B905 - the hot path
        tight = self._lines[uses.index(max(uses))].loads
        order = [(load // members, kind) for kind, (load, members) in enumerate(zip(tight, self._members))]  # noqa: B905
        order.sort(reverse=True)
        for _, kind in order:
            value = values[kind]
            more = max(int(value * growth) - value, coarse if value >= coarse else 1)
            steps = [line[2][kind] for line in self._lines]
            if not any(steps):
                continue
            for rest, step in zip(left, steps):  # noqa: B905 - the hot path
                if step and rest < more * step:
                    more = rest // step
            if coarse > 1 and value + more >= coarse:
                more -= (value + more) % coarse
            if more > 0:
                values[kind] = value + more
                for k, step in enumerate(steps):
                    left[k] -= more * step


def largest_scale(keeps: Callable[[float], bool], scale: float) -> bool:
    """Leave `keeps`, which puts variables to a scale and says whether they keep to the limits, at a large scale that does.

    That is the given one, or one near the largest below it; 0 stands for values of 1. False if not even those fit.
    """
    if keeps(scale):
        return True
    if not keeps(0.0):
        return False
    low, high = 0.0, scale
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return keeps(low)
