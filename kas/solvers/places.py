"""A kernel at a target as integers: each cost a polynomial in the counts of its free variables.

A `Plan` holds the monomials of a kernel. A `Place` is the plan with C, H, W and G put in. There each free variable is
`unit * count`, where the unit is what divisibility asks for; dims hold at most one free variable, so that nothing else
stands between a count and an integer.
"""

from __future__ import annotations

from math import gcd, lcm

from kas.language.costs import live_tensors
from kas.language.dims import Dim
from kas.language.kernel import Kernel
from kas.language.primitives.spatial import Shift
from kas.language.shapes import SPATIAL

__all__ = ["Place", "Plan", "Polynomial", "Powers", "evaluate"]

Powers = tuple[int, ...]  # of each free variable
Polynomial = list[tuple[Powers, int]]  # the coefficient of each product of counts
Terms = list[tuple[Powers, list[tuple[int, int]]]]  # for each product of variables, monomials by index and how often
_FIRST_FREE = 4  # C, H, W, G come before the free variables in the powers of a dim


class Plan:
    """The monomials of a kernel, each kept once and named by its index."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self._index: dict[Dim, int] = {}
        self._rows: list[tuple[Dim, int, int, int, int, int, int, Powers]] = []
        dims: dict[Dim, None] = {}
        spatial: set[str] = set()
        sides = {id(side): side for outcome in kernel.outcomes for side in outcome.shape}
        for side in sides.values():
            dims.update(dict.fromkeys(side.dims))
            if side.kind == SPATIAL:
                for dim in side.dims:
                    spatial.update(dim.variables)
        for outcome in kernel.outcomes:
            if outcome.quotients:
                dims.update(dict.fromkeys(outcome.quotients))
        names = {name for dim in dims for name in dim.variables}
        self.variables = tuple(sorted(names, key=lambda name: int(name[1:])))
        self._columns = [_FIRST_FREE + int(name[1:]) for name in self.variables]
        self.uses_groups = any(dim.powers[3] for dim in dims)
        self.spatial = tuple(name in spatial for name in self.variables)
        self.grouped = self._grouped(dims)
        self.checked = [self._of(dim) for dim in dims if dim.denominator > 1 or dim.powers[3] < 0]
        outcomes = kernel.outcomes
        self.macs = self._sum([(1, outcome.macs) for outcome in outcomes if outcome.macs is not None])
        self.params = self._sum([(1, outcome.params) for outcome in outcomes if outcome.params is not None])
        self.elementwise = self._sum([outcome.elementwise for outcome in outcomes if outcome.elementwise is not None])
        self.memory = self._memory()
        self.shifts = [
            (self._of(kernel.shapes[step.ins[0]].axis(name)), abs(step.by))
            for step in kernel.steps
            if isinstance(step, Shift)
            for name in step.axes
        ]

    def _grouped(self, dims: dict[Dim, None]) -> tuple[bool, ...]:
        """Whether a variable is the width of one of G groups, `G*x`, and so of the order of C/G."""
        widths = {dim.variables[0] for dim in dims if dim.powers[3] > 0 and dim.variables}
        return tuple(name in widths for name in self.variables)

    def _memory(self) -> list[Terms]:
        """The tensors that are alive at each step, without the steps whose tensors are all alive at another one."""
        products: dict[int, Dim] = {}
        sizes = []
        for shape in self.kernel.shapes:
            if id(shape) not in products:
                products[id(shape)] = shape.product
            sizes.append((4, products[id(shape)]))
        rows, steps = live_tensors(self.kernel), self.kernel.steps
        last = {tensor: number for number, step in enumerate(steps, 1) for tensor in step.ins}
        ends = {*last.values(), len(steps)}  # a row that loses no tensor is part of the next one
        return [self._sum([sizes[i] for i in row]) for number, row in enumerate(rows, 1) if number in ends]

    def _sum(self, terms: list[tuple[int, Dim]]) -> Terms:
        total: dict[Powers, list[tuple[int, int]]] = {}
        for count, dim in terms:
            index = self._of(dim)
            total.setdefault(self._rows[index][-1], []).append((index, count))
        return list(total.items())

    def _of(self, dim: Dim) -> int:
        index = self._index.get(dim)
        if index is None:
            index = self._index[dim] = len(self._rows)
            c, h, w, g = dim.powers[:_FIRST_FREE]
            free = tuple([dim.powers[i] for i in self._columns])
            self._rows.append((dim, dim.numerator, dim.denominator, c, h, w, g, free))
        return index

    def at(self, channels: int, size: tuple[int, ...], groups: int) -> list[tuple[int, int]]:
        """Numerator and denominator of each monomial's coefficient."""
        height, width = (*size, 1, 1)[:2]
        values = []
        for _, numerator, denominator, c, h, w, g, _ in self._rows:
            numerator *= channels**c * height**h * width**w
            if g > 0:
                numerator *= groups**g
            elif g < 0:
                denominator *= groups**-g
            values.append((numerator, denominator))
        return values

    def powers(self, index: int) -> Powers:
        return self._rows[index][-1]

    def dim(self, index: int) -> Dim:
        return self._rows[index][0]


class Place:
    """A kernel at one target (or several that are alike), with one G.

    Attributes:
        units: what each variable is a multiple of. lows: the least count of each. coarse: the counts that give the
            multiples asked for; below the first of them any count may be taken, where there is no room for it.
        scales: the counts at which each variable is as large as the axis that it stands for (C, C/G, or H).
        fault: why the kernel cannot exist here, "" if it can; there are no polynomials then.
        macs, params, elementwise: of one sample. memory: bytes at each step that can be the peak.
    """

    def __init__(self, plan: Plan, channels: int, size: tuple[int, ...], groups: int, multiple_of: int = 1):
        self.plan = plan
        self._values = plan.at(channels, size, groups)
        self.fault = ""
        count = len(plan.variables)
        self.units = [1] * count
        for index in plan.checked:
            self._divide(index)
        self.lows = [1] * count
        for index, by in plan.shifts:
            self._shift(index, by)
        self.coarse = [lcm(unit, multiple_of) // unit for unit in self.units]
        across = size[0] if size else 1
        self.scales = [
            (across if spatial else channels / groups if grouped else channels) / unit
            for spatial, grouped, unit in zip(plan.spatial, plan.grouped, self.units, strict=True)
        ]
        if not self.fault:
            self._set_polynomials()

    def _divide(self, index: int) -> None:
        numerator, denominator = self._values[index]
        rest = denominator // gcd(numerator, denominator)
        powers = self.plan.powers(index)
        if any(powers):
            i = powers.index(1)
            self.units[i] = lcm(self.units[i], rest)
        elif rest > 1 and not self.fault:
            value = f"{numerator // gcd(numerator, denominator)}/{rest}"
            self.fault = f"the dim {self.plan.dim(index)} is {value}, which is not an integer"

    def _shift(self, index: int, by: int) -> None:
        numerator, denominator = self._values[index]
        powers = self.plan.powers(index)
        if any(powers):
            i = powers.index(1)
            least = by * denominator // (numerator * self.units[i]) + 1
            self.lows[i] = max(self.lows[i], least)
        elif numerator <= by * denominator and not self.fault:
            length = numerator // denominator
            self.fault = f"an axis is {length} long ({self.plan.dim(index)}), which is not longer than the shift by {by}"

    def _set_polynomials(self) -> None:
        """MACs, parameters and element-wise work, and the bytes at each step that can be the peak."""
        plan, of = self.plan, self._coefficients()
        self.macs = _polynomial(plan.macs, of)
        self.params = _polynomial(plan.params, of)
        self.elementwise = _polynomial(plan.elementwise, of)
        self.memory = [_polynomial(terms, of) for terms in plan.memory]

    def _coefficients(self) -> list[int]:
        """Of each monomial, for counts instead of variables; whole numbers, as the place has no fault."""
        if max(self.units, default=1) == 1:
            return [numerator // denominator for numerator, denominator in self._values]
        coefficients = []
        for index, (numerator, denominator) in enumerate(self._values):
            for unit, power in zip(self.units, self.plan.powers(index), strict=True):
                numerator *= unit**power
            coefficients.append(numerator // denominator)
        return coefficients

    def rounded(self, i: int, count: int) -> int:
        """The largest allowed count of variable `i` that is not over `count`."""
        return count - count % self.coarse[i] if count >= self.coarse[i] else count

    def values(self, counts: tuple[int, ...]) -> dict[str, int]:
        """The free variables by name."""
        return {n: u * c for n, u, c in zip(self.plan.variables, self.units, counts, strict=True)}


def _polynomial(terms: Terms, coefficients: list[int]) -> Polynomial:
    return [(powers, sum([coefficients[index] * count for index, count in parts])) for powers, parts in terms]


def evaluate(polynomial: Polynomial, counts: tuple[int, ...]) -> int:
    """The value of a polynomial."""
    total = 0
    for powers, coefficient in polynomial:
        for count, power in zip(counts, powers):  # noqa: B905 - the hot loop
            if power == 1:
                coefficient *= count
            elif power:
                coefficient *= count**power
        total += coefficient
    return total
