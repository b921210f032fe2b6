"""Rediscovery: which known kernels blind sampling comes up with, after how many programs, how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from kas import zoo
from kas.generation.parallel import in_order
from kas.generation.sample import Sampler
from kas.generation.settings import GenerationSettings
from kas.solvers.targets import Target

__all__ = ["Hit", "Source", "Tally", "interval", "rediscover", "upper_bound"]

_CHUNK = 250  # programs that are counted at once


@dataclass(frozen=True)
class Source:
    """What programs are drawn from: the arguments of a `Sampler`, which can be sent to another process."""

    rank: int = 2
    targets: tuple[Target, ...] = ()
    budget: dict[str, Any] | None = None
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    also: tuple[Target, ...] = ()

    def sampler(self) -> Sampler:
        """The sampler. Raises KasError for what is none."""
        return Sampler(self.rank, self.targets or None, self.budget, self.settings, self.also)


@dataclass
class Hit:
    """A known kernel that came up: `first` after so many programs, `count` times, and the program that it was at first."""

    first: int
    count: int
    program: str


@dataclass
class Tally:
    """What came up among the first `samples` programs, by the name of the known kernel. Nothing else is kept of them."""

    samples: int = 0
    hits: dict[str, Hit] = field(default_factory=dict)

    def add(self, name: str, number: int, program: str) -> None:
        """Program `number`, from 1, is a known kernel."""
        known = self.hits.get(name)
        if known is None:
            self.hits[name] = Hit(number, 1, program)
        else:
            known.count += 1

    def extend(self, later: Tally) -> None:
        """Join the tally of the programs after these; it counts on from ours."""
        self.samples += later.samples
        for name, hit in later.hits.items():
            known = self.hits.setdefault(name, Hit(hit.first, 0, hit.program))
            known.count += hit.count


def rediscover(source: Source, samples: int, seed: int = 0, workers: int = 1) -> Iterator[Tally]:
    """Draw programs and count the known kernels among them; the same tally, grown, after every few hundred programs.

    A program counts as a known kernel if their canonical hashes are equal, where a free variable matches any inner width
    (`kas.zoo.known_as`). Programs are independent draws, so a kernel may come any number of times; none is kept.
    The tally depends on the seed and the number of programs, not on the number of workers, which are processes. It is that
    of the first `tally.samples` programs at any time, however the iteration ends.
    """
    tally = Tally()
    for chunk in in_order(partial(_chunks, source, zoo.known_hashes(), samples, seed), workers):
        tally.extend(chunk)
        yield tally


def _chunks(source: Source, known: dict[str, str], samples: int, seed: int, worker: int, workers: int) -> Iterator[Tally]:
    """Every `workers`-th chunk of the programs. `known`: the names of known kernels by hash."""
    sampler = source.sampler()
    for first in range(worker * _CHUNK, samples, workers * _CHUNK):
        tally = Tally(min(_CHUNK, samples - first))
        for number, drawn in enumerate(islice(sampler.blind(seed, first), tally.samples), first + 1):
            name = known.get(drawn.kernel.hash)
            if name is not None:
                tally.add(name, number, drawn.kernel.to_json())
        yield tally


def interval(count: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of the probability of what happened `count` times in `samples` independent draws.

    The exact two-sided interval of Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of
    the binomial, Biometrika 26 (1934).
    """
    from scipy.stats import binomtest

    found = binomtest(count, samples).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def upper_bound(samples: int, confidence: float = 0.95) -> float:
    """The largest probability p of what never happened in `samples` independent draws: (1 - p)^samples = 1 - confidence.

    The one-sided exact bound, at 0.95 about 3/samples (the rule of three; Hanley and Lippman-Hand, JAMA 249, 1983).
    """
    return float(1 - (1 - confidence) ** (1 / samples))
