"""Breeding: the next kernel of a search, a known one, a child of the best, or a blind sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple, TypeVar
from zlib import crc32

import numpy as np
from optuna.trial import FrozenTrial

from kas import zoo
from kas.generation import Sampler, complete, crossover, mutate
from kas.generation.choice import Random, pick
from kas.language import KasError, Kernel
from kas.study.generations import Standing
from kas.study.genome import END, FIRST, keeps, kernel_names, program_of

__all__ = ["FEWEST_PARENTS", "Breeder", "tournament"]

FEWEST_PARENTS = 3  # before so many trials are complete, kernels are drawn blindly
_ATTEMPTS = 50  # to find a kernel that the study has not had
_KEPT = 0.5  # chance that a child inherits one of several kernels as it is; another one is varied then


class Bred(NamedTuple):
    """A kernel, and the numbers of the trials that it descends from: none for a known one or a blind sample."""

    kernel: Kernel
    parents: tuple[int, ...] = ()


Parents = Sequence[tuple[Bred, Standing]]  # each with the number of its trial
T = TypeVar("T")


class Breeder:
    """What proposes the kernels for one set of targets.

    source: draws programs. seeds: known kernels to begin with. forbidden: families of which none is proposed.
    mutation: share of children made by mutation. blind: share of blind samples among the children.
    """

    def __init__(self, source: Sampler, seeds: list[Kernel], forbidden: Set[str], mutation: float, blind: float):
        self.source, self.seeds, self.forbidden = source, seeds, forbidden
        self.mutation, self.blind = mutation, blind

    def propose(
        self, seed: Sequence[int], seen: Set[str], trials: Sequence[tuple[FrozenTrial, Standing]], name: str = FIRST
    ) -> Bred:
        """A seed that is not among those seen, by hash, or a child of the parents' kernels of this name.

        seed: of all draws; with the same one, the kernels of other names descend from the same two parents.
        """
        for kernel in self.seeds:
            if kernel.hash not in seen:
                return Bred(kernel)
        parents = self._kernels(trials, name)
        rng = np.random.default_rng(seed)
        pair = _pair(parents, rng) if len(parents) >= FEWEST_PARENTS else None
        names = kernel_names(trials[0][0]) if trials else []
        varied = names[int(rng.random() * len(names))] if len(names) > 1 else name
        if name != FIRST:
            rng = np.random.default_rng([*seed, crc32(name.encode())])
        if pair is not None and name != varied and rng.random() < _KEPT:
            return pick(rng, pair)
        child = self._allowed_child(parents, rng, pair)
        for _ in range(_ATTEMPTS):
            if child.kernel.hash not in seen:
                break
            child = self._allowed_child(parents, rng)
        return child

    def given(self, ops: Mapping[int, str], known: Iterable[Kernel], seed: Sequence[int]) -> Kernel | None:
        """A kernel with these ops at these steps: one of the known ones, else one that is drawn; None if there is none."""
        candidates = [*known, *self.seeds, *map(zoo.get, zoo.names(self.source.rank))]
        for kernel in candidates:
            if kernel.rank == self.source.rank and keeps(kernel, ops) and self.source.fits(kernel):
                return kernel
        length = min((number for number, op in ops.items() if op == END), default=None)
        steps = {number: op for number, op in ops.items() if op != END}
        return complete(steps, length, self.source, np.random.default_rng(seed))

    def _kernels(self, trials: Sequence[tuple[FrozenTrial, Standing]], name: str) -> Parents:
        found = [(program_of(trial, name), trial.number, standing) for trial, standing in trials]
        rank = self.source.rank
        return [(Bred(kernel, (number,)), standing) for kernel, number, standing in found if kernel and kernel.rank == rank]

    def _allowed_child(self, parents: Parents, rng: np.random.Generator, pair: tuple[Bred, Bred] | None = None) -> Bred:
        """A child outside the forbidden families. Raises KasError if nearly all are of them."""
        for _ in range(_ATTEMPTS):
            child = self.child(parents, rng, pair)
            if not self.forbidden or child.kernel.family not in self.forbidden:
                return child
            pair = None
        raise KasError(f"{_ATTEMPTS} kernels in a row are of forbidden families; allow one, or widen the generation's settings")

    def child(self, parents: Parents, rng: np.random.Generator, pair: tuple[Bred, Bred] | None = None) -> Bred:
        """A child of two parents (of `pair`, if it is given), or a blind sample."""
        if len(parents) < FEWEST_PARENTS or rng.random() < self.blind:
            return Bred(self.source.draw(rng))
        first, second = pair or _pair(parents, rng)
        if rng.random() < self.mutation:
            return Bred(mutate(first.kernel, self.source, rng), first.parents)
        both = tuple(dict.fromkeys([*first.parents, *second.parents]))
        return Bred(crossover(first.kernel, second.kernel, self.source, rng), both)


def tournament(parents: Sequence[tuple[T, Standing]], rng: Random) -> T:
    """The better of two parents drawn at random."""
    one, other = pick(rng, parents), pick(rng, parents)
    return one[0] if one[1] <= other[1] else other[0]


def _pair(parents: Parents, rng: Random) -> tuple[Bred, Bred]:
    return tournament(parents, rng), tournament(parents, rng)
