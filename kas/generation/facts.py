"""What the drawing of steps asks of a shape, computed once for each shape."""

from __future__ import annotations

from kas.language import Dim, Shape
from kas.language.dims import ONE
from kas.language.rules import is_output
from kas.language.shapes import CHANNEL, SPATIAL, input_shape

__all__ = ["Facts"]


class Facts:
    """What is where in a tensor.

    Attributes:
        output: whether it has the form of an output; whole: that, with the channels first.
        distance: the fewest steps to the form of an output that are usual: 0, 1 (a linear map of the channels, or a
            broadcast into a tensor of that form) or 2 (both, or a fold before them).
        image: `[channel | spatial]`. grouped: whether a channel side has a g.
        unfit: ops that cannot read it, whatever their attributes.
        channels: number of the first channel side, None without one; g, c: its axes; mixed: whether it has kh or kw.
        axes: names of all axes. sides: of each side. taps: the kh and kw of the first side that has any.
        positions: names of all h and w. present: which of h and w side 1 has, if it is spatial.
        free: names of the axes that weights may run over, which do not depend on H or W.
    """

    __slots__ = (
        "axes", "c", "channels", "distance", "free", "g", "grouped", "image",
        "mixed", "output", "positions", "present", "sides", "taps", "unfit", "whole",
    )  # fmt: skip

    def __init__(self, shape: Shape, rank: int):
        self.output = is_output(shape, rank)
        self.image = shape.first.kind == CHANNEL and shape.second.kind == SPATIAL
        self.whole = self.output and self.image
        self.channels = next((n for n, side in enumerate(shape.sides) if side.kind == CHANNEL), None)
        self.distance = 0 if self.output else _distance(shape, rank)
        side = shape.sides[self.channels or 0]
        self.g: Dim = ONE if self.channels is None else side.dims[0]
        self.c: Dim = ONE if self.channels is None else side.dims[1]
        self.mixed = self.channels is not None and (side.dims[2] is not ONE or side.dims[3] is not ONE)
        self.grouped = any(one.kind == CHANNEL and one.dims[0] is not ONE for one in shape.sides)
        axes = shape.axes()
        self.axes = tuple([name for name, _ in axes])
        self.sides = tuple([tuple([name for name in self.axes if name[0] == number]) for number in "01"])
        taps = [name for name in self.axes if name[2:] in ("kh", "kw")]
        self.taps = tuple([name for name in taps if name[0] == taps[0][0]])
        self.positions = tuple([name for name in self.axes if name[2:] in ("h", "w")])
        self.present = tuple([name for name, _ in shape.second.axes()]) if shape.second.kind == SPATIAL else ()
        self.unfit = self._unfit(shape)
        self.free = tuple([name for name, dim in axes if not (dim.power_of("H") or dim.power_of("W"))])

    def _unfit(self, shape: Shape) -> frozenset[str]:
        unfit = []
        if not self.image or self.mixed:
            unfit.append("conv")
        if not self.image or all(shape.first.dim(f"k{axis}") is not ONE for axis in self.present):
            unfit.append("unfold")
        if self.channels is None:
            unfit += ["fc", "group", "ungroup", "transpose"]
        elif self.g is ONE:
            unfit += ["ungroup", "transpose"]
        else:
            unfit.append("group")
        if not self.positions:
            unfit.append("shift")
        return frozenset(unfit)


def _distance(shape: Shape, rank: int) -> int:
    source = input_shape(rank)
    if shape.first.kind != shape.second.kind and source.second in shape.sides:
        return 1
    small = all(side.product is ONE or side.product is whole.product for side, whole in zip(shape, source, strict=True))
    return 1 if small else 2
