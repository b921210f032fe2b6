"""What the budget solver reads off a kernel, once: its monomials, its variables, and what must divide."""

from __future__ import annotations

from functools import cached_property

from kas.language.dims import Dim
from kas.language.kernel import Kernel
from kas.language.primitives.spatial import Shift
from kas.solvers.tables import Facts, Table, facts, must_divide, power_of_g

__all__ = ["Plan", "Terms"]

Terms = list[tuple[int, Dim]]  # monomials, each with how often it counts


class Plan:
    """The monomials of a kernel.

    Attributes:
        numbers, variables: its free variables, by number and by name. index: the place of each number.
        spatial, grouped: for each variable whether it is a spatial axis, or the width of one of G groups.
        uses_groups: whether G occurs.
        checked: dims and quotients that are not integers at every target.
        shifts: axes that must be longer than a number.
        macs, params, elementwise: the costs of its steps. tensors: the elements of each tensor, the input first.
    """

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        first, *_ = kernel.shapes
        self.tensors: list[Dim] = [facts(first).product]
        self.macs: Terms = []
        self.params: Terms = []
        self.elementwise: Terms = []
        self.checked: list[Dim] = []
        self.uses_groups = False
        marked: list[Facts] = []
        for outcome in kernel.outcomes:
            fact = facts(outcome.shape)
            self.tensors.append(fact.product)
            if not fact.plain:
                marked.append(fact)
            if outcome.quotients:
                self._see_quotients(outcome.quotients)
            if outcome.elementwise is not None:
                self.elementwise.append(outcome.elementwise)
            if outcome.macs is not None:
                self.macs.append((1, outcome.macs))
            params = outcome.params
            if params is not None:
                self.params.append((1, params))
        self._see_shapes(marked)
        self.shifts = [
            (kernel.shapes[step.ins[0]].axis(name), abs(step.by))
            for step in kernel.steps
            if isinstance(step, Shift)
            for name in step.axes
        ]

    def _see_quotients(self, quotients: tuple[Dim, ...]) -> None:
        for dim in quotients:
            if must_divide(dim):
                self.checked.append(dim)
            if power_of_g(dim):
                self.uses_groups = True

    def _see_shapes(self, marked: list[Facts]) -> None:
        numbers: set[int] = set()
        spatial: set[int] = set()
        grouped: set[int] = set()
        for fact in marked:
            numbers.update(fact.variables)
            spatial.update(fact.spatial)
            grouped.update(fact.grouped)
            self.checked += fact.checked
            self.uses_groups |= fact.groups
        self.numbers = tuple(sorted(numbers))
        self.variables = tuple([f"x{number}" for number in self.numbers])
        self.index = {number: i for i, number in enumerate(self.numbers)}
        self.spatial = tuple([number in spatial for number in self.numbers])
        self.grouped = tuple([number in grouped for number in self.numbers])

    def hindered(self, table: Table) -> bool:
        """Whether some dim is not an integer whatever the variables are, or some axis not longer than its shift."""
        return not all(table[dim].whole for dim in self.checked) or any(
            table[dim].factors or min(table[dim].values) <= by for dim, by in self.shifts
        )

    @cached_property
    def sizes(self) -> list[Dim]:
        """The different sizes of tensors."""
        return list(dict.fromkeys(self.tensors))

    @cached_property
    def rows(self) -> list[list[int]]:
        """The tensors that are alive at each step, as indices into `sizes`; only rows that no other row holds as a part."""
        of = {dim: i for i, dim in enumerate(self.sizes)}
        steps = self.kernel.steps
        last = {tensor: number for number, step in enumerate(steps, 1) for tensor in step.ins}
        rows, alive = {}, [0]
        for number in range(1, len(steps) + 1):
            alive.append(number)
            left = [i for i in alive if last.get(i, len(steps) + 1) > number]
            if len(left) < len(alive) or number == len(steps):  # a row that loses no tensor is part of the next one
                row = sorted([of[self.tensors[i]] for i in alive])
                rows[tuple(row)] = row
            alive = left
        return list(rows.values())
