"""Sampling kernels from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any

import numpy as np

from kas.generation.choice import Choice
from kas.generation.fitting import Drawn, Fitting
from kas.generation.grow import Grammar
from kas.generation.growth import Growth
from kas.generation.limits import Limits
from kas.generation.moves import Moves
from kas.generation.settings import GenerationSettings
from kas.language import KasError, Kernel
from kas.solvers import Sizes
from kas.solvers.limits import parse_budget
from kas.solvers.targets import Target

__all__ = ["Drawn", "Sampler", "sample"]

Program = tuple[object, ...]  # the moves of a program and what they read

_ATTEMPTS = 200  # for one kernel; 1.2 are usual
_PATIENCE = 6  # programs in a row that cannot use the budget with drawn steps; then the best of them is taken


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
        self.fitting = Fitting(self.targets, self.budget, self.settings, self.also)
        self._ops = Choice(self.settings.weights)
        self.moves = Moves(rank, Limits(rank, self.targets, self.budget, self.settings, self.also), self.settings)
        self.grammar = Grammar(self.moves)

    def solve(self, kernel: Kernel) -> Sizes | None:
        """The sizes of a kernel for the targets and budget, None if it has none there."""
        return self.fitting.solve(kernel)

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
        found = self._drawn(rng, None)
        if found is not None:
            return found
        refusal = self.fitting.refusal
        why = f"the last refusal: {refusal}" if refusal else "the settings of the generation leave too little room"
        raise KasError(f"no kernel was found in {_ATTEMPTS} attempts (budget {self.budget or 'none'}); {why}")

    def _drawn(self, rng: np.random.Generator, before: set[Program] | None) -> Drawn | None:
        """One kernel that fits, None if no attempt finds one; not from a program that was drawn `before`, which grows."""
        if self.moves.forget() and before is not None:
            before.clear()
        low: list[tuple[float, Drawn]] = []
        for _ in range(_ATTEMPTS):
            growth = self.grammar.grow(rng)
            if growth is None or (before is not None and _is_known(growth, before)):
                continue
            found = self.fitting.fitted(growth, rng)
            if found is None or not self.fitting.starts_sanely(found):
                continue
            if self.fitting.is_good(found):
                return found
            low.append((self.fitting.use(found), found))
            if len(low) == _PATIENCE:
                break
        return max(low, key=lambda one: one[0])[1] if low else None

    def stream(self, seed: int = 0) -> Iterator[Drawn]:
        """Kernels without end, distinct by hash, each from a random sequence of its own for the seed and its number.

        Raises KasError when no new one is found.
        """
        seen: set[str] = set()
        programs: set[Program] = set()
        for i, rng in _sequences(seed, 0):
            drawn = self._new(rng, seen, programs)
            if drawn is None and i == 0:
                self.drawn(rng)  # says what the matter is
            if drawn is None:
                raise KasError(f"only {i} distinct kernels were found; the settings leave too little room for more")
            yield drawn

    def _new(self, rng: np.random.Generator, seen: set[str], programs: set[Program]) -> Drawn | None:
        """A kernel whose hash is not among those seen, which grow; None if none is found."""
        for _ in range(_ATTEMPTS):
            drawn = self._drawn(rng, programs)
            if drawn is None:
                return None
            if drawn.kernel.hash not in seen:
                seen.add(drawn.kernel.hash)
                return drawn
        return None

    def blind(self, seed: int = 0, first: int = 0) -> Iterator[Drawn]:
        """Independent draws without end, from number `first` on; kernels come again. Nothing is kept of what was drawn.

        Draw i is that of `stream`, unless that one had had it before. Raises KasError as `draw` does.
        """
        for _, rng in _sequences(seed, first):
            yield self.drawn(rng)


def _is_known(growth: Growth, before: set[Program]) -> bool:
    """Whether a program is among those from before; it is afterwards."""
    program = (*growth.made, *[step.ins for step in growth.steps])
    if program in before:
        return True
    before.add(program)
    return False


def _sequences(seed: int, first: int) -> Iterator[tuple[int, np.random.Generator]]:
    """Numbers from `first` on, each with a stretch of the random sequence of its own: a longer draw begins with the shorter."""
    bits = np.random.PCG64(seed)
    start = bits.state
    rng = np.random.Generator(bits)
    for i in count(first):
        bits.state = start
        bits.advance(i << 64)
        yield i, rng


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
