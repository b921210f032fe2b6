"""Random choices with an explicit generator."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import numpy as np

__all__ = ["Choice", "pick", "shuffled"]

T = TypeVar("T")


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One item, all alike."""
    return items[int(rng.random() * len(items))]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """The items in a random order."""
    order = rng.random(len(items)).tolist()
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

    def draw(self, rng: np.random.Generator) -> T:
        """One item. There must be one."""
        return self._items[bisect(self._sums, rng.random() * self._total, 0, len(self._items) - 1)]
