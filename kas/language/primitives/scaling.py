"""Learned scales and biases over axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.primitives._base import Outcome, Step, named_axes
from kas.language.shapes import Shape

__all__ = ["Bias", "Scale"]


@dataclass(frozen=True, slots=True)
class _OverAxes(Step):
    axes: tuple[str, ...] = attributes.axes()

    def apply(self, *shapes: Shape) -> Outcome:
        weight = named_axes(shapes[0], self.axes)
        return Outcome(shapes[0], weight, elementwise=(1, shapes[0].product))


@dataclass(frozen=True, slots=True)
class Scale(_OverAxes):
    """Times a learned weight over the axes. Weight: their dims, in memory order."""

    op: ClassVar[str] = "scale"


@dataclass(frozen=True, slots=True)
class Bias(_OverAxes):
    """Plus a learned weight over the axes. Weight: their dims, in memory order."""

    op: ClassVar[str] = "bias"
