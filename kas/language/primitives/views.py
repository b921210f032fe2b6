"""Views of the channels: group, ungroup, and transpose (the channel shuffle)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel
from kas.language.primitives._base import Outcome, Step, channel_side, check_axes, check_dim
from kas.language.shapes import Shape

__all__ = ["Group", "Transpose", "Ungroup"]


@dataclass(frozen=True, slots=True)
class Group(Step):
    """Splits the channels: `g = by`, `c = c/by`."""

    op: ClassVar[str] = "group"
    by: Dim = attributes.dim()
    side: int | None = attributes.side()

    def apply(self, *shapes: Shape) -> Outcome:
        shape = shapes[0]
        number = channel_side(shape, self.side)
        side = shape.sides[number]
        if self.by is ONE:
            raise InvalidKernel("'by' must not be 1")
        if side.dim("g") is not ONE:
            raise InvalidKernel(f"needs an empty g; the tensor is {shape}")
        rest = check_dim(side.dim("c") / self.by, "c/by")
        return Outcome(check_axes(shape.with_side(number, side.with_axes(g=self.by, c=rest))), quotients=(rest,))


@dataclass(frozen=True, slots=True)
class Ungroup(Step):
    """Joins the groups: `c = g*c`."""

    op: ClassVar[str] = "ungroup"
    side: int | None = attributes.side()

    def apply(self, *shapes: Shape) -> Outcome:
        shape = shapes[0]
        number = channel_side(shape, self.side)
        side = shape.sides[number]
        if side.dim("g") is ONE:
            raise InvalidKernel(f"needs a g; the tensor is {shape}")
        joined = check_dim(side.dim("g") * side.dim("c"), "g*c")
        return Outcome(shape.with_side(number, side.with_axes(g=ONE, c=joined)))


@dataclass(frozen=True, slots=True)
class Transpose(Step):
    """Swaps `g` and `c`: a channel shuffle."""

    op: ClassVar[str] = "transpose"
    mixes: ClassVar[bool] = True
    side: int | None = attributes.side()

    def apply(self, *shapes: Shape) -> Outcome:
        shape = shapes[0]
        number = channel_side(shape, self.side)
        side = shape.sides[number]
        g, c = side.dim("g"), side.dim("c")
        if g is ONE or c is ONE:
            raise InvalidKernel(f"needs both g and c; the tensor is {shape}")
        return Outcome(shape.with_side(number, side.with_axes(g=c, c=g)))
