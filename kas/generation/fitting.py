"""Fitting drawn programs to targets and a budget: sizes, a better use of the budget, and what is good enough to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kas.generation.choice import Random
from kas.generation.grow import keeps, to_kernel
from kas.generation.growth import DRAWN, Growth
from kas.generation.knob import widened
from kas.generation.sanity import Sanity
from kas.generation.settings import GenerationSettings
from kas.language import Infeasible, Kernel
from kas.solvers import Sizes, Solver
from kas.solvers.targets import Target

__all__ = ["Drawn", "Fitting"]

_MOST_FINISHING = 0.9  # of the tighter limit's cost, for the steps that close a program or use its budget
_WIDENINGS = 2  # solved at most for a program that does not use its budget


@dataclass(frozen=True)
class Drawn:
    """A sampled kernel.

    Attributes:
        sizes: what it is at the targets, None where none are given.
        origins: for each step "drawn", "closing" (made when only finishing moves were left) or "repair" (put in to use
            the budget).
    """

    kernel: Kernel
    sizes: Sizes | None
    origins: tuple[str, ...]


class Fitting:
    """The targets and the budget that programs must fit.

    Attributes:
        refusal: why the last kernel that did not fit did not.
    """

    def __init__(
        self,
        targets: Sequence[Target] | None,
        budget: Mapping[str, Any] | None,
        settings: GenerationSettings,
        also: Sequence[Target],
    ):
        """`also`: further targets at which kernels must exist, outside the budget."""
        self.refusal = ""
        self._targets, self._budget, self._settings = targets, budget, settings
        self._solver = Solver(targets, budget, multiple_of=settings.multiple_of) if targets else None
        self._also = Solver(also) if also else None
        self._sanity = Sanity(targets) if targets else None
        self._adds_up = any(key in ("macs", "params", "work") for key in budget or {})

    def solve(self, kernel: Kernel) -> Sizes | None:
        """The sizes of a kernel for the targets and budget, None if it has none there."""
        if self._solver is None:
            return None
        try:
            if self._also is not None:
                self._also.solve(kernel, thorough=False)
            return self._solver.solve(kernel, thorough=False)
        except Infeasible as error:
            self.refusal = str(error)
            return None

    def fitted(self, growth: Growth) -> Drawn | None:
        """The program as a kernel with its sizes; None if it does not fit."""
        kernel = to_kernel(growth)
        if kernel is None:
            return None
        if self._targets is None:
            return Drawn(kernel, None, tuple(growth.origins))
        sizes = self.solve(kernel)
        return None if sizes is None else Drawn(kernel, sizes, tuple(growth.origins))

    def is_used(self, drawn: Drawn) -> bool:
        """Whether a kernel uses the budget as far as it must."""
        return self.use(drawn) >= self._settings.min_use

    def improved(self, drawn: Drawn, growth: Growth, rng: Random) -> Drawn:
        """The kernel of a program, or one like it with a further free width that uses the budget better."""
        wide = (other for other in widened(growth, rng) if keeps(other))
        for other in islice(wide, _WIDENINGS):
            found = self.fitted(other)
            if found is not None and self.use(found) > self.use(drawn):
                drawn = found
                if self.is_used(drawn):
                    break
        return drawn

    def use(self, drawn: Drawn) -> float:
        """How far a kernel uses the budget, 1 where there is none."""
        return _tighter(drawn.sizes) if drawn.sizes is not None and self._budget is not None else 1.0

    def is_good(self, drawn: Drawn) -> bool:
        """Whether a kernel uses the budget, and does so with the steps that were drawn."""
        return self.is_used(drawn) and self._is_drawn(drawn)

    def _is_drawn(self, drawn: Drawn) -> bool:
        """Whether the steps that were drawn carry a part of the cost worth the name, and not those that close the program."""
        sizes, solver = drawn.sizes, self._solver
        if sizes is None or solver is None or not self._adds_up:
            return True
        outcomes = drawn.kernel.outcomes
        others = [i for i, origin in enumerate(drawn.origins) if origin != DRAWN and outcomes[i].macs is not None]
        return not others or solver.part(drawn.kernel, sizes, others) <= _MOST_FINISHING

    def starts_sanely(self, drawn: Drawn) -> bool:
        """Whether signals keep their scale before training, as far as the targets tell."""
        return drawn.sizes is None or self._sanity is None or self._sanity.holds(drawn.kernel, drawn.sizes)


def _tighter(sizes: Sizes) -> float:
    """The use of the limit that is nearest to being reached."""
    return max(sizes.use.values(), default=1.0)
