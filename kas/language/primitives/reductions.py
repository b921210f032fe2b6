"""Primitives that gather statistics over axes: fold, softmax, normalize."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.dims import ONE
from kas.language.primitives._base import Outcome, Step, named_axes
from kas.language.shapes import Shape

__all__ = ["Fold", "Normalize", "Softmax"]


@dataclass(frozen=True, slots=True)
class Fold(Step):
    """Removes axes of one side, jointly, by their mean or maximum. One multiply-add for each element read."""

    op: ClassVar[str] = "fold"
    mixes: ClassVar[bool] = True
    axes: tuple[str, ...] = attributes.axes()
    how: str = attributes.choice("mean", "max")

    def apply(self, *shapes: Shape) -> Outcome:
        shape = result = shapes[0]
        named_axes(shape, self.axes, one_side=True)
        for name in self.axes:
            result = result.with_axis(name, ONE)
        return Outcome(result, elementwise=(1, shape.product))


@dataclass(frozen=True, slots=True)
class Softmax(Step):
    """A softmax over axes of one side, jointly. Exponential, sum and division: three multiply-adds an element."""

    op: ClassVar[str] = "softmax"
    mixes: ClassVar[bool] = True
    axes: tuple[str, ...] = attributes.axes()

    def apply(self, *shapes: Shape) -> Outcome:
        named_axes(shapes[0], self.axes, one_side=True)
        return Outcome(shapes[0], elementwise=(3, shapes[0].product))


@dataclass(frozen=True, slots=True)
class Normalize(Step):
    """`x/sqrt(sum x^2 + 1e-6)` (l2) or `(x - mean)/sqrt(var + 1e-6)` (standard), jointly over axes of any sides.

    Two multiply-adds an element for l2 (square and sum, scale), four for standard (mean, centre, variance, scale).
    """

    op: ClassVar[str] = "normalize"
    mixes: ClassVar[bool] = True
    axes: tuple[str, ...] = attributes.axes()
    how: str = attributes.choice("l2", "standard")

    def apply(self, *shapes: Shape) -> Outcome:
        named_axes(shapes[0], self.axes)
        return Outcome(shapes[0], elementwise=(2 if self.how == "l2" else 4, shapes[0].product))
