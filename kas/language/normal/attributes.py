"""The attributes of nodes: from those of a step and the shape of its operand, each computed once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.layout import Layout, cut, layout_of, or_full
from kas.language.normal.mixes import joined, whole_side
from kas.language.primitives._base import channel_side
from kas.language.primitives.binary import align
from kas.language.shapes import CHANNEL, SPATIAL, Shape, Side

__all__ = ["broadcast", "conv_attrs", "fc_attrs", "filter_attrs", "mix_attrs", "perm_attrs", "unf_attrs"]

Attrs = tuple[Any, ...]
MixSide = tuple[tuple[Dim, "Dim | None"], ...]
cached = lru_cache(maxsize=4096)


@cached
def perm_attrs(shape: Shape, side: int | None) -> Attrs:
    """Of `transpose`: a shuffle of groups and channels."""
    number = channel_side(shape, side)
    g, c, kh, kw = shape.sides[number].dims
    sizes = (g, c, kh * kw)
    return ((sizes, None) if number == 0 else (None, sizes),)


@cached
def unf_attrs(shape: Shape, over: str, k: int, d: int) -> Attrs:
    """Of `unfold`."""
    suffix = shape.first.dim("kw") if over == "h" else ONE
    return 0, tuple(_tap(shape, axis, k, d) for axis in over), suffix


def _tap(shape: Shape, axis: str, k: int, d: int) -> Attrs:
    return layout_of(shape, (f"1.{axis}",))[1], k, d


@cached
def fc_attrs(shape: Shape, side: int | None, to: Dim) -> Attrs:
    """Of `fc`."""
    number = channel_side(shape, side)
    return number, shape.sides[number].dim("g"), shape.sides[number].product, to, ()


@cached
def conv_attrs(shape: Shape, to: Dim, k: tuple[int, ...], d: tuple[int, ...], depthwise: bool) -> Attrs:
    """Of `conv`: the axes with one tap are left out."""
    side = shape.first
    taps = tuple(_tap(shape, axis, n, gap) for axis, n, gap in zip("hw", k, d, strict=True) if n > 1)
    return 0, side.dim("c" if depthwise else "g"), side.product, to, taps


@cached
def mix_attrs(shape: Shape, axes: tuple[str, ...], to: tuple[Dim, ...]) -> tuple[str, Attrs]:
    """Op and attributes of `mix`, which is a dense map (lin) where it mixes one whole side."""
    new = dict(zip(axes, to, strict=True))
    sides = []
    for number, side in enumerate(shape.sides):
        sides.append(joined([(dim, new.get(f"{number}.{name}")) for name, dim in side.axes()]))
    dense = whole_side(tuple(sides))
    return ("mix", (tuple(sides),)) if dense is None else ("lin", dense)


@cached
def filter_attrs(shape: Shape, axis: str, k: int, d: int) -> tuple[Attrs | None, str, Attrs]:
    """Of `filter`. Along the positions of an image: of the taps, and of a mix of them to one; else None, and its own."""
    if axis[0] == "0" or shape.first.kind != CHANNEL or shape.second.kind != SPATIAL:
        return None, "slide", (layout_of(shape, (axis,)), k, d)
    sides = joined([*[(dim, None) for _, dim in shape.first.axes()], (Dim.of(k), ONE)]), _untouched(shape.second)
    dense = whole_side(sides)
    return (0, (_tap(shape, axis[2:], k, d),), ONE), *(("mix", (sides,)) if dense is None else ("lin", dense))


def _untouched(side: Side) -> MixSide:
    return joined([(dim, None) for _, dim in side.axes()])


@cached
def broadcast(left: Shape, right: Shape) -> Layout | None:
    """Which pieces of the right operand the left one has; None for all."""
    sides = []
    for ours, theirs in zip(left.sides, right.sides, strict=True):
        way = align(ours, theirs)
        if way.by_name:
            sides.append(cut((dim, name in way.names) for name, dim in theirs.axes()))
        else:
            sides.append(cut([(way.prefix, True), (way.multiplier, False), (way.rest, True), (way.suffix, True)]))
    return or_full((sides[0], sides[1]))
