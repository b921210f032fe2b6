"""Splitting: how likely the grammar draws a known program, also where no affordable number of samples would hit it.

Multilevel splitting (Kahn and Harris, Estimation of particle transmission by random sampling, 1951; as sequential Monte
Carlo in Del Moral and Garnier, Annals of Applied Probability 15, 2005): many programs are grown side by side. After each step
those go on that are still part of the known program; copies of them, drawn with replacement, take the places of the others.
The product of the shares that went on, times the share that ended as the known kernel, is an unbiased estimate of the
probability to draw it in this way.

It is a lower bound of the probability to draw the kernel: only programs of the very steps of the known program count, in any
order in which they can stand, with any inner widths that count as its (`kas.zoo.known_as`); few of its other spellings do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import sqrt
from statistics import mean, stdev

import numpy as np

from kas import zoo
from kas.generation.choice import pick
from kas.generation.grow import Draft, Grammar, to_kernel
from kas.generation.growth import Growth
from kas.generation.moves import Move, is_local
from kas.generation.parallel import in_order
from kas.generation.rediscovery import Source
from kas.language import Dim, Kernel, Step
from kas.zoo.variants import variants

__all__ = ["Estimate", "estimates"]

RUNS = 4  # independent runs of an estimate; their spread says how good it is
_ACCEPTANCE = 2000  # programs grown to see how many are refused


@dataclass(frozen=True)
class Estimate:
    """The probability that a sampled program is a known one, step by step.

    probability: for each program; 0 if no run came to the end. error: its standard error, from the spread of the runs.
    steps: how many steps of the known program the runs came to at best. of: how many it has.
    """

    name: str
    probability: float
    error: float
    steps: int
    of: int


def estimates(source: Source, names: list[str], particles: int, seed: int = 0, workers: int = 1) -> Iterator[Estimate]:
    """An estimate for each known kernel in turn, each by four runs of `particles` programs a step.

    Only for a source without targets, whose programs are accepted as they are grown. The estimates depend on the seed, not
    on the number of workers.
    """
    hashes: dict[str, set[str]] = {name: set() for name in names}
    for found, name in zoo.known_hashes().items():
        if name in hashes:
            hashes[name].add(found)
    yield from in_order(partial(_share, source, list(hashes.items()), particles, seed), workers)


def _share(
    source: Source, known: list[tuple[str, set[str]]], particles: int, seed: int, worker: int, workers: int
) -> Iterator[Estimate]:
    """The estimates of every `workers`-th known kernel, each a name and its hashes."""
    accepted = _acceptance(source.sampler().grammar, np.random.default_rng([seed, 0]))
    for name, hashes in known[worker::workers]:
        rng = np.random.default_rng([seed, 1 + zoo.names().index(name)])
        yield _estimate(_Known(name, hashes), source.sampler().grammar, particles, accepted, rng)


def _acceptance(grammar: Grammar, rng: np.random.Generator) -> float:
    """The share of grown programs that become kernels; a sampled program is the first that does."""
    grown = [grammar.grow(rng) for _ in range(_ACCEPTANCE)]
    return sum(growth is not None and to_kernel(growth) is not None for growth in grown) / _ACCEPTANCE


def _estimate(known: _Known, grammar: Grammar, particles: int, accepted: float, rng: np.random.Generator) -> Estimate:
    runs = [_run(known, grammar, particles, rng) for _ in range(RUNS if accepted else 0)]
    values = [found / accepted for found, _ in runs] or [0.0]
    error = stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0
    return Estimate(known.name, mean(values), error, max((steps for _, steps in runs), default=0), known.length)


def _run(known: _Known, grammar: Grammar, particles: int, rng: np.random.Generator) -> tuple[float, int]:
    """The estimate of one run for each program grown, and how many steps it came to."""
    found, weight, steps = 0.0, 1.0, 0
    alive = [draft for draft in (grammar.begin(rng) for _ in range(particles)) if known.is_wanted(draft)]
    while alive:
        weight *= len(alive) / particles
        drafts = [pick(rng, alive).copy() for _ in range(particles)]
        alive, hits = [], 0
        for draft in drafts:
            if not _extend(draft, rng):
                hits += known.is_made_by(grammar.end(draft, rng))
            elif known.contains(draft.growth):
                alive.append(draft)
            elif not _extend(draft, rng):  # the last step is taken back where the program cannot be closed with it
                hits += known.is_made_by(grammar.end(draft, rng))
        found += weight * hits / particles
        steps = max([known.length] if hits else [steps, *(len(draft.growth.steps) for draft in alive[:1])])
    return found, steps


def _extend(draft: Draft, rng: np.random.Generator) -> bool:
    """Draw until there is one more step. Says whether there is; otherwise the program is to be closed."""
    before = len(draft.growth.steps)
    while draft.advance(rng):
        if len(draft.growth.steps) > before:
            return True
    return False


class _Known:
    """A known program, and which growing programs are part of it. `hashes`: what counts as its hash."""

    def __init__(self, name: str, hashes: set[str]):
        self.name, self.steps, self._hashes = name, zoo.get(name).steps, hashes
        self.length = len(self.steps)
        self._local = any(is_local(step) for step in self.steps)
        self._widths = _widths(zoo.get(name))
        self._numbers: dict[Move, list[int]] = {}

    def is_wanted(self, draft: Draft) -> bool:
        """Whether a program that is to be drawn may become this one: not if it shall be longer, or local where this is not.

        By one step it may, which is taken back where the program cannot be closed with it.
        """
        return draft.goal <= self.length + 1 and (self._local or not draft.local)

    def is_made_by(self, growth: Growth | None) -> bool:
        """Whether a closed program is the known kernel."""
        if growth is None or len(growth.steps) != self.length:
            return False
        kernel = to_kernel(growth)
        return kernel is not None and kernel.hash in self._hashes

    def contains(self, growth: Growth) -> bool:
        """Whether the steps so far are steps of the known program that read the same, each as another one."""
        ways: list[tuple[int, ...]] = [(0,)]  # by tensor, which tensor of the known program it is
        for move, step in zip(growth.made, growth.steps, strict=True):
            numbers = self._alike(move)
            ways = [(*way, n) for way in ways for n in numbers if n not in way and self._reads(step, way, n)]
        return bool(ways)

    def _reads(self, step: Step, way: tuple[int, ...], number: int) -> bool:
        ins, wanted = tuple([way[i] for i in step.ins]), self.steps[number - 1].ins
        return ins == wanted or (getattr(step, "commutative", False) and ins == wanted[::-1])

    def _alike(self, move: Move) -> list[int]:
        """The steps of the known program that a move can be, or become when a free width is solved for."""
        found = self._numbers.get(move)
        if found is None:
            pairs = enumerate(zip(self.steps, self._widths, strict=True), 1)
            found = self._numbers[move] = [n for n, (step, widths) in pairs if _is_alike(move.step, step, widths)]
        return found


def _widths(kernel: Kernel) -> list[set[Dim]]:
    """For each step the dims without free variables that its attributes have in any variant of the kernel."""
    found: list[set[Dim]] = [set() for _ in kernel.steps]
    for variant in variants(kernel):
        for widths, step in zip(found, variant.steps, strict=True):
            widths |= {dim for _, dim in step.dims() if not dim.variables}
    return found


def _is_alike(step: Step, known: Step, widths: set[Dim]) -> bool:
    """Whether a step has the op and attributes of a known one, where dims are its in some variant, or free."""
    if step.op != known.op or not all(dim.variables or dim in widths for _, dim in step.dims()):
        return False
    kinds = {name: codec.kind for name, (codec, _) in known.codecs().items()}
    return all(getattr(step, name) == getattr(known, name) for name, kind in kinds.items() if kind not in ("dim", "dims"))
