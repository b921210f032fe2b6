"""A kernel at a target as integers: each cost a polynomial in the counts of its free variables.

At a target each free variable is `unit * count`, where the unit is what divisibility asks for; dims hold at most one free
variable, so that nothing else stands between a count and an integer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from math import lcm

from kas.language.dims import Dim
from kas.solvers.plans import Plan, Terms
from kas.solvers.tables import Extent, Factors, Table

__all__ = ["Place", "Polynomial", "Powers", "at_places", "evaluate", "gather"]

Powers = tuple[int, ...]  # a count of each free variable
Polynomial = list[tuple[Factors, int]]  # products of counts, each with its coefficient


class Place:
    """A kernel at one kind of target, with one G.

    Attributes:
        kind: the number of the kind in the table.
        units: what each variable is a multiple of. lows: the least count of each. coarse: the counts that give the
            multiples asked for; below the first of them any count may be taken, where there is no room for it.
        scales: the counts at which each variable is as large as the axis that it stands for (C, C/G, or H).
        units_are_one: whether counts are the variables themselves. free: whether any count from 1 may be taken.
        fault: why the kernel cannot exist here, "" if it can.
    """

    def __init__(self, plan: Plan, table: Table, kind: int, of: Extent, multiple_of: int, hindered: bool):
        channels, size = of
        self.plan, self.table, self.kind = plan, table, kind
        count = len(plan.numbers)
        self.fault = ""
        self.units, self.lows = [1] * count, [1] * count
        if hindered:
            for dim in plan.checked:
                self._divide(dim)
            for dim, by in plan.shifts:
                self._shift(dim, by)
        self.units_are_one = not hindered or max(self.units, default=1) == 1
        self.free = multiple_of == 1 and not hindered
        self.coarse = self.units if self.free else [lcm(unit, multiple_of) // unit for unit in self.units]
        across = size[0] if size else 1
        widths = [
            across if number in plan.spatial else channels / table.groups if number in plan.grouped else channels
            for number in plan.numbers
        ]
        self.scales = [width / unit for width, unit in zip(widths, self.units, strict=True)]

    def _divide(self, dim: Dim) -> None:
        monomial = self.table[dim]
        value = monomial.values[self.kind]
        if value.denominator == 1:
            return
        if monomial.factors:
            i = self.plan.index[monomial.factors[0]]
            self.units[i] = lcm(self.units[i], value.denominator)
        elif not self.fault:
            self.fault = f"the dim {dim} is {value}, which is not an integer"

    def _shift(self, dim: Dim, by: int) -> None:
        monomial = self.table[dim]
        value = monomial.values[self.kind]
        if monomial.factors:
            i = self.plan.index[monomial.factors[0]]
            self.lows[i] = max(self.lows[i], by // (value * self.units[i]) + 1)
        elif value <= by and not self.fault:
            self.fault = f"an axis is {value} long ({dim}), which is not longer than the shift by {by}"

    @cached_property
    def memory(self) -> list[Polynomial]:
        """Bytes at each step that can be the peak."""
        sizes = self.plan.sizes
        return [self.polynomial((4, sizes[i]) for i in row) for row in self.plan.rows]

    def polynomial(self, terms: Iterable[tuple[int, Dim]]) -> Polynomial:
        """A sum of monomials at this place, in counts."""
        sums: dict[Factors, int] = {}
        for count, dim in terms:
            monomial = self.table[dim]
            sums[monomial.factors] = sums.get(monomial.factors, 0) + count * monomial.values[self.kind]
        return [self.term(factors, coefficient) for factors, coefficient in sums.items()]

    def term(self, factors: Factors, coefficient: int) -> tuple[Factors, int]:
        """A product of variables as one of counts."""
        own = tuple([self.plan.index[number] for number in factors])
        for i in own:
            coefficient *= self.units[i]
        return own, int(coefficient)  # a Fraction until the units have made it whole

    def rounded(self, i: int, count: int) -> int:
        """The largest allowed count of variable `i` that is not over `count`."""
        coarse = self.coarse[i]
        return count - count % coarse if count >= coarse else count

    def values(self, counts: Powers) -> dict[str, int]:
        """The free variables by name."""
        return {n: u * c for n, u, c in zip(self.plan.variables, self.units, counts)}  # noqa: B905 - the hot path


def at_places(plan: Plan, table: Table, kinds: Sequence[Extent], multiple_of: int) -> list[Place]:
    """The kernel at each kind of target."""
    hindered = plan.hindered(table)
    return [Place(plan, table, i, of, multiple_of, hindered) for i, of in enumerate(kinds)]


def gather(terms: Terms, table: Table) -> dict[Factors, list[int]]:
    """The coefficient of each product of variables, at each kind of target."""
    sums: dict[Factors, list[int]] = {}
    for count, dim in terms:
        factors, values, *_ = table[dim]
        known = sums.get(factors)
        if known is None:
            sums[factors] = [count * value for value in values] if count > 1 else [*values]
        else:
            sums[factors] = [old + count * value for old, value in zip(known, values)]  # noqa: B905 - the hot path
    return sums


def evaluate(polynomial: Polynomial, counts: Powers) -> int:
    """The value of a polynomial."""
    total = 0
    for factors, coefficient in polynomial:
        for i in factors:
            coefficient *= counts[i]
        total += coefficient
    return total
