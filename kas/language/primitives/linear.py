"""Linear maps with a weight: fc, conv, mix and filter. None has a bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel
from kas.language.primitives._base import Outcome, Step, channel_side, check_dim, check_image, named_axes, product
from kas.language.shapes import Shape

__all__ = ["Conv", "Fc", "Filter", "Mix"]


@dataclass(frozen=True, slots=True)
class Fc(Step):
    """Mixes a channel side to `c = to`, block-diagonal over `g` (output order `(g, to/g)`). Weight `[to, c*kh*kw]`."""

    op: ClassVar[str] = "fc"
    mixes: ClassVar[bool] = True
    to: Dim = attributes.dim()
    side: int | None = attributes.side()

    def apply(self, *shapes: Shape) -> Outcome:
        shape = shapes[0]
        number = channel_side(shape, self.side)
        side = shape.sides[number]
        g = side.dim("g")
        quotients = _per_group(self.to, g, "to/g")
        weight = (self.to, side.product / g)
        result = shape.with_side(number, side.with_axes(g=ONE, c=self.to, kh=ONE, kw=ONE))
        return Outcome(result, weight, product(weight) * shape.sides[1 - number].product, quotients=quotients)


@dataclass(frozen=True, slots=True)
class Conv(Step):
    """A convolution of the same size, zero padded by `d(k-1)/2`, grouped by `g` or, depthwise, by `c`.

    Weight `[to, c_in/groups, kh, kw]`.
    """

    op: ClassVar[str] = "conv"
    mixes: ClassVar[bool] = True
    to: Dim = attributes.dim()
    k: tuple[int, int] = attributes.odd_pair()
    d: tuple[int, int] = attributes.dilation_pair()
    depthwise: bool = attributes.flag()

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        if channels.dim("kh") is not ONE or channels.dim("kw") is not ONE:
            raise InvalidKernel(f"needs empty kh and kw; the tensor is {shapes[0]}")
        for axis, dim, k, d in zip("hw", positions.dims, self.k, self.d, strict=True):
            if dim is ONE and k != 1:
                raise InvalidKernel(f"k is {k} along {axis}, which is empty, so it must be 1")
            if k == 1 and d != 1:
                raise InvalidKernel(f"d is {d} along {axis}, where k is 1, so it must be 1")
        g, c = channels.dim("g"), channels.dim("c")
        if self.depthwise:
            if g is not ONE:
                raise InvalidKernel(f"a depthwise conv needs an empty g; the tensor is {shapes[0]}")
            groups, quotients = c, _per_group(self.to, c, "to/c")
        else:
            groups, quotients = g, _per_group(self.to, g, "to/g")
        weight = (self.to, g * c / groups, Dim.of(self.k[0]), Dim.of(self.k[1]))
        result = Shape(channels.with_axes(g=ONE, c=self.to), positions)
        return Outcome(result, weight, product(weight) * positions.product, quotients=quotients)


@dataclass(frozen=True, slots=True)
class Mix(Step):
    """A dense linear map over any axes; each keeps its place with its new dim. Weight `[*to, *axes]`."""

    op: ClassVar[str] = "mix"
    mixes: ClassVar[bool] = True
    axes: tuple[str, ...] = attributes.axes()
    to: tuple[Dim, ...] = attributes.dims()

    def apply(self, *shapes: Shape) -> Outcome:
        shape = shapes[0]
        old = named_axes(shape, self.axes, ordered=False)
        if len(self.to) != len(self.axes):
            raise InvalidKernel(f"'to' must have one dim for each of the {len(self.axes)} axes, not {len(self.to)}")
        result = shape
        for name, dim in zip(self.axes, self.to, strict=True):
            result = result.with_axis(name, dim)
        weight = (*self.to, *old)
        return Outcome(result, weight, product(weight) * (shape.product / product(old)))


@dataclass(frozen=True, slots=True)
class Filter(Step):
    """One filter of k taps slides along an axis, zero padded, the same everywhere else. Weight `[k]`.

    `y[i] = sum_j w[j] x[i + (j - (k-1)/2)*d]`.
    """

    op: ClassVar[str] = "filter"
    mixes: ClassVar[bool] = True
    axis: str = attributes.axis()
    k: int = attributes.odd(3)
    d: int = attributes.integer(1)

    def apply(self, *shapes: Shape) -> Outcome:
        shape, taps = shapes[0], Dim.of(self.k)
        named_axes(shape, (self.axis,))
        return Outcome(shape, (taps,), taps * shape.product)


def _per_group(to: Dim, groups: Dim, what: str) -> tuple[Dim, ...]:
    """The quotient that must be an integer for `groups` to divide the output."""
    return () if groups is ONE else (check_dim(to / groups, what),)
