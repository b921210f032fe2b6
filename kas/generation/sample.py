"""Sampling kernels from a seed."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from kas.generation.batch import ATTEMPTS, Draw, Drawing, Program
from kas.generation.choice import Buffered, Choice, Random
from kas.generation.fitting import Drawn, Fitting
from kas.generation.grow import Grammar
from kas.generation.limits import Limits
from kas.generation.moves import Moves
from kas.generation.settings import GenerationSettings
from kas.language import (
    KasError,
    Kernel,
    normal,  # noqa: F401 - every kernel is hashed: imported with the sampler, not at the first hash
)
from kas.solvers import Sizes
from kas.solvers.limits import parse_budget
from kas.solvers.targets import Target

__all__ = ["Drawn", "Sampler", "sample"]

_PERIOD = 2**128  # of the random numbers
_JUMP = 0x9E3779B97F4A7C15F39CC0605CEDC835  # the period by the golden ratio, rounded to an odd number


class Sampler:
    """Draws kernels for given targets and budget. `solve` says what a kernel is for them, None where it does not exist.

    Attributes:
        largest_batch: how many kernels a stream draws side by side, at most.
    """

    largest_batch = 64

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
        self._drawing = Drawing(self.grammar, self.fitting)

    def solve(self, kernel: Kernel) -> Sizes | None:
        """The sizes of a kernel for the targets and budget, None if it has none there."""
        return self.fitting.solve(kernel)

    def fits(self, kernel: Kernel) -> bool:
        """Whether a kernel exists at the targets within the budget (always, where no targets are given)."""
        return self.targets is None or self.solve(kernel) is not None

    def op(self, rng: Random) -> str:
        """The name of a primitive, by the weights of the settings."""
        return self._ops.draw(rng)

    def draw(self, rng: Random) -> Kernel:
        """One kernel that fits. Raises KasError if no attempt finds one, as when the budget is too small for any."""
        return self.drawn(rng).kernel

    def drawn(self, rng: Random) -> Drawn:
        """As `draw`, with what is known about the kernel."""
        self.moves.forget()
        draw = Draw(rng)
        self._drawing.complete([draw])
        if draw.found is not None:
            return draw.found
        refusal = self.fitting.refusal
        why = f"the last refusal: {refusal}" if refusal else "the settings of the generation leave too little room"
        raise KasError(f"no kernel was found in {ATTEMPTS} attempts (budget {self.budget or 'none'}); {why}")

    def stream(self, seed: int = 0, most: int | None = None) -> Iterator[Drawn]:
        """Kernels without end (or `most` of them), distinct by hash, each from a random sequence of its own for the seed and
        its number. They are drawn in batches that begin small.

        Raises KasError when no new one is found.
        """
        sequences, seen, known = Sequences(seed), set[str](), set[Program]()
        first, size = 0, 1
        while most is None or first < most:
            if most is not None and first + size > most:
                size = most - first
            number = first
            for found in self._batch(sequences, first, size, seen, known):
                if found is None:
                    self._refuse(sequences, number)
                else:
                    yield found
                number += 1
            first += size
            size = 2 * size if 2 * size < self.largest_batch else self.largest_batch

    def _refuse(self, sequences: Sequences, number: int) -> None:
        """Say why there is no kernel of this number. Raises KasError."""
        if number == 0:
            self.drawn(sequences.at(range(1))[0])
        raise KasError(f"only {number} distinct kernels were found; the settings leave too little room for more")

    def _batch(
        self, sequences: Sequences, first: int, size: int, seen: set[str], known: set[Program]
    ) -> Iterator[Drawn | None]:
        """A kernel for each of the next random sequences, its hash not among those seen, which grow; None where there is none.

        Cycles of garbage are not looked for meanwhile: drawing makes none, but so many objects that it takes a twentieth of
        the time. (Nor does `stream` allocate what would set off the search at once; that is left to what reads it.)
        """
        enabled = gc.isenabled()
        gc.disable()
        try:
            if self.moves.forget():
                known.clear()
            return iter(self._drawn_together([Draw(rng) for rng in sequences.at(range(first, first + size))], seen, known))
        finally:
            if enabled:
                gc.enable()

    def _drawn_together(self, draws: list[Draw], seen: set[str], known: set[Program]) -> list[Drawn | None]:
        known.update(self._drawing.complete(draws, known))
        for draw in draws:
            if draw.found is not None:
                _ = draw.found.kernel.hash  # is kept
        return [self._new(draw, seen) for draw in draws]

    def _new(self, draw: Draw, seen: set[str]) -> Drawn | None:
        """What was drawn, or what is drawn after it until its hash is not among those seen."""
        for _ in range(ATTEMPTS):
            if draw.found is None:
                return None
            name = draw.found.kernel.hash
            if name not in seen:
                seen.add(name)
                return draw.found
            draw.restart()
            self._drawing.complete([draw])
        return None

    def blind(self, seed: int = 0, first: int = 0) -> Iterator[Drawn]:
        """Independent draws without end, from number `first` on; kernels come again. Nothing is kept of what was drawn.

        Draw i is that of `stream`, unless that one had had it before. Raises KasError as `draw` does.
        """
        sequences = Sequences(seed)
        for i in count(first):
            yield self.drawn(sequences.at(range(i, i + 1))[0])


class Sequences:
    """A stretch of the random sequence of a seed for each number: a longer draw begins with the shorter.

    The stretches begin a multiple of `_JUMP` apart, that of `numpy.random.PCG64.jumped`. At a power of two apart they would
    not be independent: states that far apart share their lower bits.
    """

    def __init__(self, seed: int):
        self._seed, self._start = seed, np.random.PCG64(seed).state
        self._pool: list[tuple[np.random.PCG64, np.random.Generator]] = []

    def at(self, numbers: range) -> list[Buffered]:
        """The random numbers from the start of some stretches on; those of the call before must not be used any more."""
        while len(self._pool) < len(numbers):
            bits = np.random.PCG64(self._seed)
            self._pool.append((bits, np.random.Generator(bits)))
        for number, (bits, _) in zip(numbers, self._pool, strict=False):
            bits.state = self._start
            bits.advance(number * _JUMP % _PERIOD)
        return [Buffered(generator) for _, generator in self._pool[: len(numbers)]]


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

    >>> target = Target("conv", in_channels=16, out_channels=16, size=(8, 8))
    >>> kernels = sample(n=3, targets=[target], budget={"macs": 0.5})
    >>> len({kernel.hash for kernel in kernels}), kernels == sample(n=4, targets=[target], budget={"macs": 0.5})[:3]
    (3, True)
    """
    return [drawn.kernel for drawn in Sampler(rank, targets, budget, settings).stream(seed, most=n)]
