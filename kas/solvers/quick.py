"""The common case, fast: limits on sums over the network, and dims that are integers whatever the variables are.

All kinds of targets side by side, a column for each: one scale for all variables, rounded down, then what rounding left,
target by target. What this does not fill is left to the search with all its means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add, mul, sub
from typing import NamedTuple

from kas.solvers.filling import ENOUGH, FULL, GROWTH
from kas.solvers.lines import MOST_GROWTH, fill_lines, largest_scale, lines_of
from kas.solvers.places import gather
from kas.solvers.plans import Plan
from kas.solvers.questions import Network, terms_of
from kas.solvers.scaling import root
from kas.solvers.tables import Factors, Table

__all__ = ["Filled", "fill_sums"]

Rows = list[tuple[Factors, list[int]]]  # products of variables, with their coefficient at each kind of target


class Filled(NamedTuple):
    """The value of each variable (by number) at each kind of target, and what the network then costs, for each limited sum."""

    values: dict[int, list[int]]
    costs: dict[str, int]


def fill_sums(network: Network, plan: Plan, table: Table) -> Filled | None:
    """Values of the variables within the limits on sums; None if this does not nearly fill the budget."""
    limits = network.free_sums
    found = _fill(network, plan, table)
    if found is None:
        return None
    values, left = found
    enough, costs = False, {}
    for limit, rest in zip(limits, left):  # noqa: B905 - the hot path
        costs[limit.key] = spent = limit.total - rest
        if spent < limit.minimum:
            return None
        enough = enough or spent >= ENOUGH * limit.real
    return Filled(values, costs) if enough else None


def _fill(network: Network, plan: Plan, table: Table) -> tuple[dict[int, list[int]], list[int]] | None:
    """Values of the variables, and what they leave of each limit."""
    axes = _axes(network, plan, table)
    if len(axes) == 1:
        lines = lines_of(network, plan, table)
        if lines is not None:
            [(number, axis)] = axes.items()
            line = fill_lines(network, lines, axis)
            return None if line is None else ({number: line[0]}, line[1])
    totals = [limit.total for limit in network.free_sums]
    costs = [_rows(network, plan, table, limit.key) for limit in network.free_sums]
    scale = _scale(costs, totals, axes, network.members)
    filling = _Filling(costs, axes, network.members, network.multiple_of)
    if not filling.put(scale, totals):
        return None
    filling.grow(GROWTH)
    if filling.use() < FULL:
        filling.grow(MOST_GROWTH)
    return filling.values, filling.left


def _rows(network: Network, plan: Plan, table: Table, key: str) -> Rows:
    """A cost at each kind of target, the adapter included."""
    rows = gather(terms_of(plan, key), table)
    if max(network.templates) > 1:
        rows = {factors: [*map(mul, row, network.templates)] for factors, row in rows.items()}
    constants = network.constants[key]
    if any(constants):
        rows[()] = [*map(add, rows[()], constants)] if () in rows else constants
    return list(rows.items())


def _axes(network: Network, plan: Plan, table: Table) -> dict[int, Sequence[float]]:
    """The axis that each variable stands for, at each kind of target: C, C/G, or H."""
    axes: dict[int, Sequence[float]] = {}
    for number in plan.numbers:
        if number in plan.spatial:
            axes[number] = network.heights
        elif number in plan.grouped:
            axes[number] = [channels / table.groups for channels in network.widths]
        else:
            axes[number] = network.widths
    return axes


def _scale(costs: Sequence[Rows], totals: Sequence[int], axes: Mapping[int, Sequence[float]], members: Sequence[int]) -> float:
    """The largest scale within all limits, each being a polynomial in it."""
    scale = 1e12
    for rows, total in zip(costs, totals):  # noqa: B905 - the hot path
        coefficients = [0.0] * 4
        for factors, row in rows:
            column = map(mul, row, members)
            for number in factors:
                column = map(mul, column, axes[number])
            degree = len(factors)
            if degree >= len(coefficients):
                coefficients += [0.0] * (degree + 1 - len(coefficients))
            coefficients[degree] += sum(column)
        scale = root(coefficients, total, scale)
    return scale


def _slope(rows: Rows, number: int) -> Rows:
    """What one more of a variable adds to a cost in which it has no power over 1."""
    return [(tuple([n for n in factors if n != number]), row) for factors, row in rows if number in factors]


class _Filling:
    """Values of the variables, a column for each kind of target, what they cost, and what they leave of each limit."""

    def __init__(self, costs: Sequence[Rows], axes: Mapping[int, Sequence[float]], members: Sequence[int], coarse: int):
        self._costs, self._axes, self._members, self._coarse = costs, axes, members, coarse
        self.values: dict[int, list[int]] = {}
        self._bends = {
            n: [k for k, rows in enumerate(costs) for factors, _ in rows if len(factors) > 1 and factors.count(n) > 1]
            for n in axes
        }  # the costs in which a variable has a power over 1: their steps grow with it
        self._slopes = {n: [_slope(rows, n) for rows in costs] for n in axes if not self._bends[n]}  # else what one more costs
        self._none = [0] * len(members)

    def put(self, scale: float, totals: Sequence[int]) -> bool:
        """Put all variables to one scale, a smaller one where values of 1 cost more than it gives; False if they do not fit."""
        self._totals = totals
        return largest_scale(self._round, scale)

    def _round(self, scale: float) -> bool:
        """Put all variables to a scale, rounded down; whether this keeps to the limits."""
        coarse = self._coarse
        for number, axis in self._axes.items():
            column = [int(scale * width) or 1 for width in axis]
            if coarse > 1:
                column = [value - value % coarse if value >= coarse else value for value in column]
            self.values[number] = column
        self._columns = [self._column(rows) for rows in self._costs]
        self.left = [total - spent for total, spent in zip(self._totals, self.spent())]  # noqa: B905 - the hot path
        return min(self.left) >= 0

    def spent(self) -> list[int]:
        """Each cost of the network."""
        return [sum(map(mul, column, self._members)) for column in self._columns]

    def use(self) -> float:
        """Of the tighter limit."""
        return max([1 - rest / total for rest, total in zip(self.left, self._totals)])  # noqa: B905 - the hot path

    def grow(self, growth: float) -> None:
        """Give what is left to one variable after another, the dearest step of the tight limit first."""
        uses = [1 - rest / total for rest, total in zip(self.left, self._totals)]  # noqa: B905 - the hot path
        tight = uses.index(max(uses))
        moves: list[tuple[int, int, int, tuple[int, ...]]] = []
        for number in self.values:
            steps = self._steps(number)
            moves += [(step[tight], kind, number, step) for kind, step in enumerate(zip(*steps))]  # noqa: B905 - hot
        moves.sort(reverse=True)
        alone = len(self.values) == 1  # else another variable may have grown since
        for _, kind, number, step in moves:
            self._raise(kind, number, step if alone else self._step(kind, number), growth)

    def _steps(self, number: int) -> list[Sequence[int]]:
        """What one more of a variable adds to each cost of one target, at each kind of target."""
        slopes = self._slopes.get(number)
        if slopes is not None:
            return [self._column(rows) if rows else self._none for rows in slopes]
        column = self.values[number]
        self.values[number] = [value + 1 for value in column]
        after = [self._column(rows) for rows in self._costs]
        self.values[number] = column
        return [[*map(sub, new, old)] for new, old in zip(after, self._columns, strict=True)]

    def _step(self, kind: int, number: int) -> list[int]:
        """What one more of a variable adds to each cost of one target of a kind."""
        slopes = self._slopes.get(number)
        return self._more(kind, number, 1) if slopes is None else [self._at(rows, kind) for rows in slopes]

    def _raise(self, kind: int, number: int, step: Sequence[int], growth: float) -> None:
        """The largest value of one variable that the rest of the budget allows; `step` is what one more costs."""
        members, column, coarse, left = self._members[kind], self.values[number], self._coarse, self.left
        value, bent = column[kind], self._bends[number]
        more = min([rest // (members * s) for rest, s in zip(left, step) if s], default=0)  # noqa: B905 - the hot path
        more = min(more, max(int(value * growth) - value, coarse if value >= coarse else 1))
        if bent and more > 1:
            more = self._bent(kind, number, more)
        if coarse > 1 and value + more >= coarse:
            more -= (value + more) % coarse
        if more <= 0:
            return
        added = self._more(kind, number, more) if bent else [more * s for s in step]
        column[kind] = value + more
        for k, cost in enumerate(added):
            self._columns[k][kind] += cost
            left[k] -= members * cost

    def _bent(self, kind: int, number: int, more: int) -> int:
        """At most `more`, so that costs with a square stay within what is left of each limit to one target."""
        column, members = self.values[number], self._members[kind]
        value = column[kind]
        for k in self._bends[number]:
            rows, most = self._costs[k], self._columns[k][kind] + self.left[k] // members
            while more > 0:  # Newton from above with whole steps, which shrink with the value: none goes too far
                column[kind] = value + more
                cost = self._at(rows, kind)
                if cost <= most:
                    break
                column[kind] -= 1
                more -= -((most - cost) // (cost - self._at(rows, kind)))
        column[kind] = value
        return more

    def _more(self, kind: int, number: int, more: int) -> list[int]:
        """What more of a variable adds to each cost of one target."""
        self.values[number][kind] += more
        added = [self._at(rows, kind) - column[kind] for rows, column in zip(self._costs, self._columns)]  # noqa: B905
        self.values[number][kind] -= more
        return added

    def _column(self, rows: Rows) -> list[int]:
        """A cost at each kind of target."""
        products = []
        for factors, row in rows:
            column: Sequence[int] = row
            for number in factors:
                column = [*map(mul, column, self.values[number])]
            products.append(column)
        return [*map(sum, zip(*products))]  # noqa: B905 - the hot path

    def _at(self, rows: Rows, kind: int) -> int:
        """A cost at one kind of target."""
        total = 0
        for factors, row in rows:
            product = row[kind]
            for number in factors:
                product *= self.values[number][kind]
            total += product
        return total
