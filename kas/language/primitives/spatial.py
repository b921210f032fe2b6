"""Primitives that look at neighbours: shift and unfold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel
from kas.language.primitives._base import Outcome, Step, check_axes, check_image, named_axes
from kas.language.shapes import Shape

__all__ = ["Shift", "Unfold"]


@dataclass(frozen=True, slots=True)
class Shift(Step):
    """`torch.roll(x, by)` along each of the axes."""

    op: ClassVar[str] = "shift"
    mixes: ClassVar[bool] = True
    axes: tuple[str, ...] = attributes.axes()
    by: int = attributes.integer(signed=True)

    def apply(self, *shapes: Shape) -> Outcome:
        named_axes(shapes[0], self.axes)
        for name in self.axes:
            if name[2:] not in ("h", "w"):
                raise InvalidKernel(f"shifts h and w only, not {name!r}")
        return Outcome(shapes[0])

    def reaches(self) -> list[tuple[str, int]]:
        return [(name, self.by) for name in self.axes]


@dataclass(frozen=True, slots=True)
class Unfold(Step):
    """Fills `kh`/`kw` with the `k` neighbours, `d` apart, zero padded: tap j reads position p + (j - (k-1)/2)*d."""

    op: ClassVar[str] = "unfold"
    mixes: ClassVar[bool] = True
    over: str = attributes.choice("h", "w", "hw")
    k: int = attributes.odd(3)
    d: int = attributes.integer(1)

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        taps = Dim.of(self.k)
        for axis in self.over:
            if positions.dim(axis) is ONE:
                raise InvalidKernel(f"the axis {axis} is empty; the tensor is {shapes[0]}")
            if channels.dim(f"k{axis}") is not ONE:
                raise InvalidKernel(f"the axis k{axis} is taken; the tensor is {shapes[0]}")
        filled = channels.with_axes(**{f"k{axis}": taps for axis in self.over})
        return Outcome(check_axes(Shape(filled, positions)))
