"""A growing program: its steps so far, which tensors are still open, and what may be added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from kas.generation.filters import is_void
from kas.generation.limits import Limits
from kas.language import Dim, InvalidKernel, Outcome, Shape, Step
from kas.language.dims import FREE_VARIABLES
from kas.language.rules import apply_step, is_output
from kas.language.shapes import input_shape
from kas.solvers.shapes import substitute

__all__ = ["Growth", "pick", "weighted"]

T = TypeVar("T")


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One item, all alike."""
    return items[int(rng.random() * len(items))]


def weighted(rng: np.random.Generator, weights: dict[T, float]) -> T:
    """One key, in proportion to its weight."""
    point = rng.random() * sum(weights.values())
    for item, weight in weights.items():
        point -= weight
        if point < 0:
            return item
    return next(reversed(weights))


class Growth:
    """The state of a program while it grows. Tensor 0 is the input; `open` are the tensors that no step reads yet."""

    def __init__(self, rank: int, limits: Limits):
        self.rank = rank
        self.limits = limits
        self.steps: list[Step] = []
        self.outcomes: list[Outcome] = []
        self.shapes: list[Shape] = [input_shape(rank)]

    @property
    def open(self) -> list[int]:
        read = {i for step in self.steps for i in step.ins}
        return [i for i in range(len(self.shapes)) if i not in read]

    @property
    def last(self) -> int:
        """The newest open tensor."""
        return self.open[-1]

    @property
    def closed(self) -> bool:
        """Whether the program is complete: one open tensor, of the form of an output, and a step that mixes."""
        left = self.open
        return len(left) == 1 and is_output(self.shapes[left[0]], self.rank) and any(step.mixes for step in self.steps)

    @property
    def needed(self) -> int:
        """How many steps are certainly needed to close the program."""
        left = self.open
        return len(left) - 1 + (not is_output(self.shapes[left[-1]], self.rank))

    def variables(self) -> list[str]:
        """The free variables in use."""
        used = {name for step in self.steps for _, dim in step.dims() for name in dim.variables}
        return [name for name in FREE_VARIABLES if name in used]

    def fresh(self) -> Dim | None:
        """A free variable that is not in use, None if all are."""
        used = set(self.variables())
        return next((Dim.of(name) for name in FREE_VARIABLES if name not in used), None)

    def add(self, step: Step, *, filtered: bool = True) -> bool:
        """Add a step if it is legal, allowed and (if `filtered`) not void. Says whether it was added."""
        if filtered and is_void(step, self.steps, self.shapes):
            return False
        try:
            outcome = apply_step([*self.steps, step], self.shapes, self.rank)
        except InvalidKernel:
            return False
        if not self.limits.allow(step, self.shapes[step.ins[0]], outcome, self.outcomes):
            return False
        self.steps.append(step)
        self.outcomes.append(outcome)
        self.shapes.append(outcome.shape)
        return True

    def solve_for(self, variable: str, by: Dim) -> bool:
        """Substitute a variable through the program if every invariant holds after it. Says whether it was done."""
        steps = substitute(self.steps, variable, by)
        other = Growth(self.rank, self.limits)
        if not all(other.add(step, filtered=False) for step in steps):
            return False
        self.steps, self.outcomes, self.shapes = other.steps, other.outcomes, other.shapes
        return True

    def copy(self) -> Growth:
        """An independent copy, to try something."""
        other = Growth(self.rank, self.limits)
        other.steps, other.outcomes, other.shapes = list(self.steps), list(self.outcomes), list(self.shapes)
        return other

    def become(self, other: Growth) -> None:
        """Take over the state of a copy."""
        self.steps, self.outcomes, self.shapes = other.steps, other.outcomes, other.shapes
