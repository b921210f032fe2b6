"""Random choices with an explicit source of random numbers."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Generic, Protocol, TypeVar

import numpy as np

__all__ = ["Buffered", "Choice", "Random", "pick", "shuffled"]

T = TypeVar("T")
_BLOCK = 64  # random numbers; a kernel takes about as many


class Random(Protocol):
    """A source of random numbers, such as a numpy generator."""

    def random(self) -> float:
        """A number from 0 (included) to 1."""
        ...


class Buffered:
    """The random numbers of a generator, taken in blocks, which is many times as fast as one by one.

    Attributes:
        random: the next number.
    """

    __slots__ = ("random",)

    def __init__(self, generator: np.random.Generator):
        self.random: Callable[[], float] = chain.from_iterable(_blocks(generator)).__next__


def _blocks(generator: np.random.Generator) -> Iterator[list[float]]:
    while True:
        yield generator.random(_BLOCK).tolist()


def pick(rng: Random, items: Sequence[T]) -> T:
    """One item, all alike."""
    return items[int(rng.random() * len(items))]


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """The items in a random order."""
    order = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=order.__getitem__)]


class Choice(Generic[T]):
    """One of several items, each in proportion to its weight; the sums are made once."""

    __slots__ = ("_items", "_sums", "_total")

    def __init__(self, weights: Mapping[T, float]):
        positive = {item: weight for item, weight in weights.items() if weight > 0}
        self._items = tuple(positive)
        self._sums = tuple(accumulate(positive.values()))
        self._total = self._sums[-1] if positive else 0.0

    def __bool__(self) -> bool:
        return bool(self._items)

    def draw(self, rng: Random) -> T:
        """One item. There must be one."""
        return self._items[bisect(self._sums, rng.random() * self._total, 0, len(self._items) - 1)]
