"""What the budget solver reads off a kernel, once: its monomials, its variables, and what must divide."""

from __future__ import annotations

from functools import cached_property

from kas.language.dims import Dim
from kas.language.kernel import Kernel
from kas.solvers.tables import Marks, Table, facts_of, joined, power_of_g

__all__ = ["Plan", "Terms"]

Terms = list[tuple[int, Dim]]  # monomials, each with how often it counts
_SHIFTS = frozenset(("shift", "spatial_shift"))


class Plan:
    """The monomials of a kernel.

    Attributes:
        numbers, variables: its free variables, by number and by name. index: the place of each number.
        spatial, grouped: the numbers of those that are spatial axes, or the width of one of G groups.
        uses_groups: whether G occurs.
        checked: dims and quotients that are not integers at every target.
        shifts: axes that must be longer than a number.
        macs, params: the costs of its steps. free: what the other attributes are read off.
    """

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.macs: Terms = []
        self.params: Terms = []
        every: dict[Marks, None] = {}
        all_macs, all_params = self.macs, self.params
        for macs, params, _, marks, _ in facts_of(kernel.outcomes):
            if macs is not None:
                all_macs.append(macs)
            if params is not None:
                all_params.append(params)
            if marks is not None:
                every[marks] = None
        self.free = free = joined((*every,))
        self.numbers, self.variables, self.index = free.numbers, free.variables, free.index
        self.spatial, self.grouped, self.checked, self.uses_groups = free.spatial, free.grouped, free.checked, free.groups
        self.shifts = [
            (kernel.outcomes[i].shape.axis(name), abs(by))  # what shifts keeps the shape
            for i, step in enumerate(kernel.steps)
            if step.op in _SHIFTS
            for name, by in step.reaches()
        ]

    @cached_property
    def elementwise(self) -> Terms:
        """The element-wise work of the steps."""
        return [outcome.elementwise for outcome in self.kernel.outcomes if outcome.elementwise is not None]

    @cached_property
    def tensors(self) -> list[Dim]:
        """The elements of each tensor, the input first."""
        return [shape.product for shape in self.kernel.shapes]

    def hindered(self, table: Table) -> bool:
        """Whether some dim is not an integer whatever the variables are, or some axis not longer than its shift."""
        for dim in self.checked:
            if not table[dim].whole:
                return True
        for dim, by in self.shifts:
            factors, values, *_ = table[dim]
            if factors or min(values) <= by:
                return True
        return False

    @cached_property
    def costs_depend_on_groups(self) -> bool:
        """Whether G occurs in a cost; else it only moves data."""
        return any(power_of_g(dim) for terms in (self.macs, self.params, self.elementwise) for _, dim in terms)

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
