"""Primitives that change how positions are laid out: windows, pooling, upsampling, overlapping sums, shifts of parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel
from kas.language.primitives._base import Outcome, Step, check_axes, check_dim, check_image
from kas.language.shapes import Shape, Side

__all__ = ["Col2im", "Pool", "SpatialShift", "Subpixel", "Unwindow", "Upsample", "Window"]


@dataclass(frozen=True, slots=True)
class Window(Step):
    """Cuts positions into windows of `size`: position `q*size + r` is place `r` of window `q`.

    The place becomes a tap (`kh`, `kw`) and the window stays in `h`, `w` (patches, space to depth); with `grid` the window
    becomes the tap and the place stays, so that a map over positions works inside each window.
    """

    op: ClassVar[str] = "window"
    mixes: ClassVar[bool] = True
    over: str = attributes.choice("h", "w", "hw")
    size: int = attributes.whole(2)
    grid: bool = attributes.flag()

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        size, quotients = Dim.of(self.size), []
        for axis in self.over:
            _check_positions(shapes[0], positions, axis)
            _check_free(shapes[0], channels, axis)
            count = check_dim(positions.dim(axis) / size, f"{axis}/size")
            quotients.append(count)
            tap, place = (count, size) if self.grid else (size, count)
            channels, positions = channels.with_axes(**{f"k{axis}": tap}), positions.with_axes(**{axis: place})
        return Outcome(check_axes(Shape(channels, positions)), quotients=tuple(quotients))


@dataclass(frozen=True, slots=True)
class Unwindow(Step):
    """Undoes `window`: taps become positions again, `h*kh + tap`; with `grid`, `tap*h + position` (depth to space)."""

    op: ClassVar[str] = "unwindow"
    mixes: ClassVar[bool] = True
    over: str = attributes.choice("h", "w", "hw")
    grid: bool = attributes.flag()

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        for axis in self.over:
            tap = channels.dim(f"k{axis}")
            if tap is ONE:
                raise InvalidKernel(f"the axis k{axis} is empty; the tensor is {shapes[0]}")
            joined = check_dim(positions.dim(axis) * tap, f"{axis}*k{axis}")
            channels, positions = channels.with_axes(**{f"k{axis}": ONE}), positions.with_axes(**{axis: joined})
        return Outcome(Shape(channels, positions))


@dataclass(frozen=True, slots=True)
class Subpixel(Step):
    """Splits the channels into taps: `c = c/(k*k)`, `kh = kw = k` (over `hw`); the taps come last, `kh` before `kw`."""

    op: ClassVar[str] = "subpixel"
    over: str = attributes.choice("h", "w", "hw")
    k: int = attributes.whole(2)

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        size, rest = Dim.of(self.k), channels.dim("c")
        for axis in self.over:
            _check_positions(shapes[0], positions, axis)
        if channels.dim("kh") is not ONE or channels.dim("kw") is not ONE:
            raise InvalidKernel(f"needs empty kh and kw; the tensor is {shapes[0]}")
        for axis in self.over:
            rest = rest / size
            channels = channels.with_axes(**{f"k{axis}": size})
        rest = check_dim(rest, "c over the taps")
        return Outcome(check_axes(Shape(channels.with_axes(c=rest), positions)), quotients=(rest,))


@dataclass(frozen=True, slots=True)
class Pool(Step):
    """The mean or maximum of every `k` neighbouring positions, without overlap. One multiply-add for each element read."""

    op: ClassVar[str] = "pool"
    mixes: ClassVar[bool] = True
    over: str = attributes.choice("h", "w", "hw")
    k: int = attributes.whole(2)
    how: str = attributes.choice("mean", "max")

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        size, quotients = Dim.of(self.k), []
        for axis in self.over:
            _check_positions(shapes[0], positions, axis)
            quotients.append(check_dim(positions.dim(axis) / size, f"{axis}/k"))
            positions = positions.with_axes(**{axis: quotients[-1]})
        return Outcome(Shape(channels, positions), elementwise=(1, shapes[0].product), quotients=tuple(quotients))


@dataclass(frozen=True, slots=True)
class Upsample(Step):
    """Repeats every position `k` times (nearest neighbour)."""

    op: ClassVar[str] = "upsample"
    over: str = attributes.choice("h", "w", "hw")
    k: int = attributes.whole(2)

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        for axis in self.over:
            _check_positions(shapes[0], positions, axis)
            positions = positions.with_axes(**{axis: check_dim(positions.dim(axis) * Dim.of(self.k), f"{axis}*k")})
        return Outcome(Shape(channels, positions))


@dataclass(frozen=True, slots=True)
class Col2im(Step):
    """Adds taps to the positions that they stand for, the adjoint of `unfold`: tap j of p adds to `p + (j - (k-1)/2)*d`.

    What falls outside is dropped. One multiply-add for each element read.
    """

    op: ClassVar[str] = "col2im"
    mixes: ClassVar[bool] = True
    over: str = attributes.choice("h", "w", "hw")
    d: int = attributes.integer(1)

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        for axis in self.over:
            _check_positions(shapes[0], positions, axis)
            tap = channels.dim(f"k{axis}")
            if tap.factors or tap.denominator != 1 or tap.numerator % 2 == 0 or tap is ONE:
                raise InvalidKernel(f"k{axis} must be an odd number over 1, not {tap}; the tensor is {shapes[0]}")
            channels = channels.with_axes(**{f"k{axis}": ONE})
        return Outcome(Shape(channels, positions), elementwise=(1, shapes[0].product))


@dataclass(frozen=True, slots=True)
class SpatialShift(Step):
    """Shifts each of `len(by)` equal parts of the channels by its own `[dh, dw]`: `y[p] = x[p - by]`.

    What comes from outside is 0 (`zero`), the nearest position's value (`edge`), or the other end's (`roll`).
    """

    op: ClassVar[str] = "spatial_shift"
    mixes: ClassVar[bool] = True
    by: tuple[tuple[int, int], ...] = attributes.pairs()
    pad: str = attributes.choice("zero", "edge", "roll")

    def apply(self, *shapes: Shape) -> Outcome:
        channels, positions = check_image(shapes[0])
        if any(channels.dim(name) is not ONE for name in ("g", "kh", "kw")):
            raise InvalidKernel(f"needs empty g, kh and kw; the tensor is {shapes[0]}")
        for which, axis in enumerate("hw"):
            if positions.dim(axis) is ONE and any(by[which] for by in self.by):
                raise InvalidKernel(f"shifts along {axis}, which is empty; the tensor is {shapes[0]}")
        if not any(any(by) for by in self.by):
            raise InvalidKernel("shifts nothing: all of 'by' are 0")
        part = check_dim(channels.dim("c") / Dim.of(len(self.by)), "c over the number of parts")
        return Outcome(shapes[0], quotients=(part,))

    def reaches(self) -> list[tuple[str, int]]:
        most = {axis: max((by[which] for by in self.by), key=abs) for which, axis in enumerate("hw")}
        return [(f"1.{axis}", by) for axis, by in most.items() if by]


def _check_positions(shape: Shape, positions: Side, axis: str) -> None:
    if positions.dim(axis) is ONE:
        raise InvalidKernel(f"the axis {axis} is empty; the tensor is {shape}")


def _check_free(shape: Shape, channels: Side, axis: str) -> None:
    if channels.dim(f"k{axis}") is not ONE:
        raise InvalidKernel(f"the axis k{axis} is taken; the tensor is {shape}")
