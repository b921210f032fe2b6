"""Sampling kernels from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kas.generation.grow import grow
from kas.generation.knob import widened
from kas.generation.limits import Limits
from kas.generation.settings import GenerationSettings
from kas.language import Infeasible, KasError, Kernel
from kas.solvers import Sizes, Solver
from kas.solvers.limits import parse_budget
from kas.solvers.targets import Target

__all__ = ["Sampler", "sample"]

_ATTEMPTS = 200  # for one kernel; 1.1 are usual


class Sampler:
    """Draws kernels for given targets and budget. `solve` says what a kernel is for them, None where it does not exist."""

    def __init__(
        self,
        rank: int = 2,
        targets: Sequence[Target] | None = None,
        budget: Mapping[str, Any] | None = None,
        settings: GenerationSettings | None = None,
        also: Sequence[Target] = (),
    ):
        """`also`: further targets at which kernels must exist, outside the budget (a narrow network that is trained).

        Raises KasError for a rank that kernels do not have, targets of another rank, or a budget that is none.
        """
        if isinstance(rank, bool) or rank not in (0, 1, 2):
            raise KasError(f"rank must be 2, 1 or 0, not {rank!r}")
        parse_budget(budget or {})
        self.rank = rank
        self.targets = list(targets) if targets else None
        self.also = list(also)
        for target in (*(self.targets or ()), *self.also):
            if target.rank != rank:
                raise KasError(f"the target {target.name!r} is of rank {target.rank}, but kernels of rank {rank} are wanted")
        self.budget = dict(budget) if budget is not None else None
        self.settings = settings or GenerationSettings()
        multiple = self.settings.multiple_of
        self._solver = Solver(self.targets, self.budget, multiple_of=multiple) if self.targets else None
        self._also = Solver(self.also) if self.also else None
        self._refusal = ""
        self.limits = Limits(rank, self.targets, self.budget, self.settings, self.also)

    def solve(self, kernel: Kernel) -> Sizes | None:
        """The sizes of a kernel for the targets and budget, None if it has none there."""
        if self._solver is None:
            return None
        try:
            if self._also is not None:
                self._also.solve(kernel, thorough=False)
            return self._solver.solve(kernel, thorough=False)
        except Infeasible as error:
            self._refusal = str(error)
            return None

    def fits(self, kernel: Kernel) -> bool:
        """Whether a kernel exists at the targets within the budget (always, where no targets are given)."""
        return self.targets is None or self.solve(kernel) is not None

    def draw(self, rng: np.random.Generator) -> Kernel:
        """One kernel that fits. Raises KasError if no attempt finds one, as when the budget is too small for any."""
        for _ in range(_ATTEMPTS):
            kernel = grow(self.rank, self.limits, self.settings, rng)
            if kernel is not None:
                fitted = self.fitted(kernel, rng)
                if fitted is not None:
                    return fitted
        why = f"the last refusal: {self._refusal}" if self._refusal else "the settings of the generation leave too little room"
        raise KasError(f"no kernel was found in {_ATTEMPTS} attempts (budget {self.budget or 'none'}); {why}")

    def fitted(self, kernel: Kernel, rng: np.random.Generator) -> Kernel | None:
        """The kernel, or one like it that uses the budget better; None if it does not fit at all."""
        if self.targets is None or self.budget is None:
            return kernel if self.fits(kernel) else None
        sizes = self.solve(kernel)
        if sizes is None:
            return None
        best, use = kernel, _tighter(sizes)
        if use < self.settings.min_use and not kernel.variables:
            for other in widened(kernel, self.limits, self.settings, rng):
                sizes = self.solve(other)
                if sizes is not None and _tighter(sizes) > use:
                    return other
        return best


def _tighter(sizes: Sizes) -> float:
    """The use of the limit that is nearest to being reached."""
    return max(sizes.use.values(), default=1.0)


def sample(
    n: int = 10,
    rank: int = 2,
    seed: int = 0,
    targets: Sequence[Target] | None = None,
    budget: Mapping[str, Any] | None = None,
    settings: GenerationSettings | None = None,
) -> list[Kernel]:
    """`n` legal kernels, distinct by hash, the same for the same seed on every machine.

    The first kernels of a longer draw are the shorter draw. With targets each kernel is solvable for them within the
    budget (ratios to what is replaced, as in `kas.solve`). Raises KasError if there are not that many.
    """
    sampler = Sampler(rank, targets, budget, settings)
    kernels: list[Kernel] = []
    seen: set[str] = set()
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        for _ in range(_ATTEMPTS):
            kernel = sampler.draw(rng)
            if kernel.hash not in seen:
                break
        else:
            raise KasError(f"only {i} distinct kernels were found, {n} were asked for; the settings leave too little room")
        seen.add(kernel.hash)
        kernels.append(kernel)
    return kernels
