"""Drawing windows, sub-pixels, pooling, upsampling, overlapping sums and shifts of parts; and undoing what they do."""

from __future__ import annotations

from collections.abc import Callable

from kas.generation.choice import Random, pick
from kas.generation.growth import Growth
from kas.generation.moves import Move
from kas.language import Dim
from kas.language.dims import ONE
from kas.language.primitives.windows import Col2im, Pool, SpatialShift, Subpixel, Unwindow, Upsample, Window
from kas.language.shapes import CHANNEL, input_shape

__all__ = ["DRAWERS", "restore"]

_SIZES = (2, 2, 4, 7)
_WINDOWS = (2, 4, 4, 7, 8)
_PADS = ("zero", "zero", "edge", "roll")


def _over(growth: Growth, i: int, rng: Random) -> str:
    """Both spatial axes, mostly, or one; empty where a tensor is no image."""
    present = growth.facts[i].present if growth.facts[i].image else ()
    if not present:
        return ""
    return "".join(present) if rng.random() < 0.7 else pick(rng, present)


def _size(growth: Growth, i: int, over: str, sizes: tuple[int, ...], rng: Random) -> int:
    """One of the sizes that divide the positions at every target; 0 where there is none."""
    dims = [growth.shapes[i].second.dim(axis) for axis in over]
    fits = [size for size in sizes if dims and all(growth.moves.limits.exists(dim / Dim.of(size)) for dim in dims)]
    return pick(rng, fits) if fits else 0


def _window(growth: Growth, i: int, rng: Random) -> Move | None:
    over = _over(growth, i, rng)
    size = _size(growth, i, over, _WINDOWS, rng)
    return growth.moves.get(Window, over, size, rng.random() < 0.5) if size else None


def _unwindow(growth: Growth, i: int, rng: Random) -> Move | None:
    facts = growth.facts[i]
    if not facts.image or not facts.taps:
        return None
    grid = any(_of_positions(growth.shapes[i].axis(name)) for name in facts.taps)
    return growth.moves.get(Unwindow, "".join(name[-1] for name in facts.taps), grid)


def _of_positions(dim: Dim) -> bool:
    return bool(dim.power_of("H") or dim.power_of("W"))


def _subpixel(growth: Growth, i: int, rng: Random) -> Move | None:
    over = _over(growth, i, rng)
    return growth.moves.get(Subpixel, over, pick(rng, _SIZES[:-1])) if over else None


def _pool(growth: Growth, i: int, rng: Random) -> Move | None:
    over = _over(growth, i, rng)
    size = _size(growth, i, over, _SIZES, rng)
    return growth.moves.get(Pool, over, size, "mean" if rng.random() < 0.6 else "max") if size else None


def _upsample(growth: Growth, i: int, rng: Random) -> Move | None:
    if not growth.facts[i].image:
        return None
    return _upsampled(growth, i) or growth.moves.get(Upsample, _over(growth, i, rng) or "h", 2)


def _col2im(growth: Growth, i: int, rng: Random) -> Move | None:
    facts = growth.facts[i]
    if not facts.image or not facts.taps:
        return None
    return growth.moves.get(Col2im, "".join(name[-1] for name in facts.taps), pick(rng, growth.moves.settings.dilations))


def _spatial_shift(growth: Growth, i: int, rng: Random) -> Move | None:
    present, by = growth.facts[i].present, pick(rng, growth.moves.settings.shifts)
    if not growth.facts[i].image or not present:
        return None
    rows, columns = [(by, 0), (-by, 0)], [(0, by), (0, -by)]
    parts = [[*rows, *columns], rows, columns, [(0, 0), *rows, *columns]]
    if len(present) == 1:
        along = rows if present[0] == "h" else columns
        parts = [along, [(0, 0), *along]]
    return growth.moves.get(SpatialShift, tuple(pick(rng, parts)), pick(rng, _PADS))


Drawer = Callable[[Growth, int, Random], "Move | None"]

DRAWERS: dict[str, Drawer] = {
    "window": _window,
    "unwindow": _unwindow,
    "subpixel": _subpixel,
    "pool": _pool,
    "upsample": _upsample,
    "col2im": _col2im,
    "spatial_shift": _spatial_shift,
}


def restore(growth: Growth, i: int) -> Move | None:
    """A step that brings the positions of an image nearer to those of the input, None where there is none."""
    facts, shape = growth.facts[i], growth.shapes[i]
    if not facts.image or shape.second is input_shape(growth.moves.rank).second:
        return None
    over = "".join(axis for axis in "hw" if _whole(growth, shape.first.dim(f"k{axis}"), shape.second.dim(axis), axis))
    if over and growth.moves.settings.permits("unwindow"):
        return growth.moves.get(Unwindow, over, any(_of_positions(shape.first.dim(f"k{axis}")) for axis in over))
    return _upsampled(growth, i) if growth.moves.settings.permits("upsample") else None


def _whole(growth: Growth, tap: Dim, position: Dim, axis: str) -> bool:
    """Whether taps times positions are all positions of the input."""
    want = input_shape(growth.moves.rank).second.dim(axis)
    return tap is not ONE and tap * position is want


def _upsampled(growth: Growth, i: int) -> Move | None:
    """An upsampling back to the positions of the input, where all axes that are too short are so by one number."""
    shape, want = growth.shapes[i], input_shape(growth.moves.rank).second
    if shape.first.kind != CHANNEL:
        return None
    ratios = {axis: want.dim(axis) / shape.second.dim(axis) for axis in "hw" if want.dim(axis) is not shape.second.dim(axis)}
    least = next(iter(ratios.values()), ONE)
    if least.factors or least.denominator != 1 or least is ONE:
        return None
    over = "".join(axis for axis, ratio in ratios.items() if ratio is least)
    return growth.moves.get(Upsample, over, least.numerator)
