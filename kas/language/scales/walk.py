"""The state of an analysis: a program at its sizes, what is expected of the tensors so far, and the gains of its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

from kas.language.dims import Dim
from kas.language.primitives import Step
from kas.language.scales.signal import BATCH, SIDES, SLOTS, Signal
from kas.language.shapes import Shape

__all__ = ["Walk", "layout"]


class _Layout(NamedTuple):
    """The non-empty axes of a shape: bits of each side, and the dim of each slot."""

    bits: int
    sides: tuple[int, int]
    dims: tuple[tuple[int, Dim], ...]


@lru_cache(maxsize=1 << 14)
def layout(shape: Shape) -> _Layout:
    dims = tuple((SLOTS[name], dim) for name, dim in shape.axes())
    bits = 0
    for slot, _ in dims:
        bits |= slot
    return _Layout(bits, (bits & SIDES[0], bits & SIDES[1]), dims)


class Walk:
    """A program at given sizes.

    Attributes:
        steps, shapes: of the program, the shape of the input first. readers: the steps that read each tensor.
        signals: of every tensor so far, the input first.
        gains: for each weighted linear step its standard deviation over that of a fan-in initialisation with gain 1; for a
            scale that starts as a constant that constant, for a scale that starts at random its standard deviation.
        random: the numbers of the scales that start at random.
        sharpest: the largest variance along its axes of what a softmax reads, or second moment of what a sigmoid reads.
    """

    def __init__(self, steps: Sequence[Step], shapes: Sequence[Shape], env: Mapping[str, int]):
        self.steps, self.shapes, self.env = steps, shapes, env
        self.readers: list[list[int]] = [[] for _ in shapes]
        for number, step in enumerate(steps, 1):
            for i in step.ins:
                self.readers[i].append(number)
        self.gains: dict[int, float] = {}
        self.random: set[int] = set()
        self.sharpest = 0.0
        self._values: dict[Dim, int] = {}
        self.signals = [Signal(0.0, {BATCH | layout(shapes[0]).bits: 1.0}, -inf, inf, 0)]

    def value(self, dim: Dim) -> int:
        """The value of a dim: an integer where the program exists."""
        known = self._values.get(dim)
        if known is None:
            above, below = dim.fraction(self.env)
            known = self._values[dim] = above // below or 1
        return known

    def lengths(self, tensor: int) -> dict[int, int]:
        """The length of each non-empty axis of a tensor, by its slot."""
        return {slot: self.value(dim) for slot, dim in layout(self.shapes[tensor]).dims}

    def only_reader(self, tensor: int, through: tuple[str, ...]) -> tuple[Step | None, int]:
        """The only reader of a tensor, and what it reads, looking through some primitives; no reader if there are several."""
        while len(self.readers[tensor]) == 1:
            number = self.readers[tensor][0]
            if self.steps[number - 1].op not in through:
                return self.steps[number - 1], tensor
            tensor = number
        return None, tensor
