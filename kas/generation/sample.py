"""Sampling kernels from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np

from kas.generation.choice import Choice
from kas.generation.grow import Grammar, keeps, to_kernel
from kas.generation.growth import DRAWN, Growth
from kas.generation.knob import widened
from kas.generation.limits import Limits
from kas.generation.moves import Moves
from kas.generation.sanity import starts_sanely
from kas.generation.settings import GenerationSettings
from kas.language import Infeasible, KasError, Kernel
from kas.solvers import Sizes, Solver
from kas.solvers.limits import parse_budget
from kas.solvers.targets import Target

__all__ = ["Drawn", "Sampler", "sample"]

_ATTEMPTS = 200  # for one kernel; 1.2 are usual
_MOST_FINISHING = 0.9  # of the tighter limit's cost, for the steps that close a program or use its budget
_PATIENCE = 6  # programs in a row that cannot use the budget with drawn steps; then the best of them is taken
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
        self._adds_up = any(key in ("macs", "params", "work") for key in self.budget or {})
        self._refusal = ""
        self._ops = Choice(self.settings.weights)
        self.moves = Moves(rank, Limits(rank, self.targets, self.budget, self.settings, self.also), self.settings)
        self.grammar = Grammar(self.moves)

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

    def op(self, rng: np.random.Generator) -> str:
        """The name of a primitive, by the weights of the settings."""
        return self._ops.draw(rng)

    def draw(self, rng: np.random.Generator) -> Kernel:
        """One kernel that fits. Raises KasError if no attempt finds one, as when the budget is too small for any."""
        return self.drawn(rng).kernel

    def drawn(self, rng: np.random.Generator) -> Drawn:
        """As `draw`, with what is known about the kernel."""
        self.moves.forget()
        low: list[tuple[float, Drawn]] = []
        for _ in range(_ATTEMPTS):
            growth = self.grammar.grow(rng)
            found = self._fitted(growth, rng) if growth is not None else None
            if found is None:
                continue
            use = self._use(found)
            good = use >= self.settings.min_use and self._is_drawn(found)
            if not self._starts_sanely(found):
                continue
            if good:
                return found
            low.append((use, found))
            if len(low) == _PATIENCE:
                break
        if low:
            return max(low, key=lambda one: one[0])[1]
        why = f"the last refusal: {self._refusal}" if self._refusal else "the settings of the generation leave too little room"
        raise KasError(f"no kernel was found in {_ATTEMPTS} attempts (budget {self.budget or 'none'}); {why}")

    def stream(self, seed: int = 0) -> Iterator[Drawn]:
        """Kernels without end, distinct by hash, each from a random sequence of its own for the seed and its number.

        Raises KasError when no new one is found.
        """
        seen: set[str] = set()
        for i, rng in _sequences(seed, 0):
            for _ in range(_ATTEMPTS):
                drawn = self.drawn(rng)
                if drawn.kernel.hash not in seen:
                    break
            else:
                raise KasError(f"only {i} distinct kernels were found; the settings leave too little room for more")
            seen.add(drawn.kernel.hash)
            yield drawn

    def blind(self, seed: int = 0, first: int = 0) -> Iterator[Drawn]:
        """Independent draws without end, from number `first` on; kernels come again. Nothing is kept of what was drawn.

        Draw i is that of `stream`, unless that one had had it before. Raises KasError as `draw` does.
        """
        for _, rng in _sequences(seed, first):
            yield self.drawn(rng)

    def _use(self, drawn: Drawn) -> float:
        """How far a kernel uses the budget, 1 where there is none."""
        return _tighter(drawn.sizes) if drawn.sizes is not None and self.budget is not None else 1.0

    def _starts_sanely(self, drawn: Drawn) -> bool:
        """Whether signals keep their scale before training, as far as the targets tell."""
        return drawn.sizes is None or not self.targets or starts_sanely(drawn.kernel, self.targets, drawn.sizes)

    def _is_drawn(self, drawn: Drawn) -> bool:
        """Whether the steps that were drawn carry a part of the cost worth the name, and not those that close the program."""
        sizes, solver = drawn.sizes, self._solver
        if sizes is None or solver is None or not self._adds_up:
            return True
        outcomes = drawn.kernel.outcomes
        others = [i for i, origin in enumerate(drawn.origins) if origin != DRAWN and outcomes[i].macs is not None]
        if not others:
            return True
        shares = solver.shares(drawn.kernel, sizes)
        return sum(shares[i] for i in others) <= _MOST_FINISHING * sum(shares)

    def _fitted(self, growth: Growth, rng: np.random.Generator) -> Drawn | None:
        """The program as a kernel, or one like it that uses the budget better; None if it does not fit at all."""
        kernel = to_kernel(growth)
        if kernel is None:
            return None
        if self.targets is None:
            return Drawn(kernel, None, tuple(growth.origins))
        sizes = self.solve(kernel)
        if sizes is None:
            return None
        best, use = Drawn(kernel, sizes, tuple(growth.origins)), _tighter(sizes)
        if self.budget is None or use >= self.settings.min_use:
            return best
        wide = (other for other in widened(growth, rng) if keeps(other))
        for other in islice(wide, _WIDENINGS):
            kernel = to_kernel(other)
            sizes = self.solve(kernel) if kernel is not None else None
            if kernel is not None and sizes is not None and _tighter(sizes) > use:
                best, use = Drawn(kernel, sizes, tuple(other.origins)), _tighter(sizes)
                if use >= self.settings.min_use:
                    break
        return best


def _sequences(seed: int, first: int) -> Iterator[tuple[int, np.random.Generator]]:
    """Numbers from `first` on, each with a stretch of the random sequence of its own: a longer draw begins with the shorter."""
    bits = np.random.PCG64(seed)
    start = bits.state
    rng = np.random.Generator(bits)
    for i in count(first):
        bits.state = start
        bits.advance(i << 64)
        yield i, rng


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
    return [drawn.kernel for drawn in islice(Sampler(rank, targets, budget, settings).stream(seed), n)]
