"""Drawing one step: the operand, then the attributes. A draw may not fit; `Growth.add` decides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kas.generation.growth import Growth, pick, weighted
from kas.generation.settings import GenerationSettings
from kas.language import OPS, Dim, Shape, Side, Step
from kas.language.dims import ONE
from kas.language.primitives.linear import Conv, Fc, Mix
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.language.primitives.scaling import Bias, Scale
from kas.language.primitives.spatial import Shift, Unfold
from kas.language.primitives.views import Group, Transpose, Ungroup
from kas.language.shapes import CHANNEL, SPATIAL

__all__ = ["draw_local", "draw_unary", "operand", "width"]

_C, _G = Dim.of("C"), Dim.of("G")
_MAX_FREE = 4  # free variables in a sampled program; more make no difference to the budget


def operand(growth: Growth, settings: GenerationSettings, rng: np.random.Generator) -> int:
    """The tensor that a step reads: mostly the newest open one, sometimes another, sometimes one that was read before."""
    point = rng.random()
    if point < settings.branch:
        return int(rng.random() * len(growth.shapes))
    if point < settings.branch + 0.15:
        return pick(rng, growth.open)
    return growth.last


def width(growth: Growth, groups: Dim, rng: np.random.Generator) -> Dim:
    """A number of channels that a linear map may go to, divisible by `groups`."""
    if groups is not ONE and groups is not _G:
        return pick(rng, [groups, groups, groups * Dim.of(2)])
    used = [Dim.of(name) for name in growth.variables()]
    options: dict[Dim, float] = {_C: 4.0, _C / Dim.of(2): 0.7, _C / Dim.of(4): 0.7, _C * Dim.of(2): 0.5}
    options.update({one: 1.5 / len(used) for one in used})
    fresh = growth.fresh()
    if fresh is not None and len(used) < _MAX_FREE:
        options[fresh] = 2.5
        options[_G * fresh] = 0.5
    if groups is _G:
        options = {dim: weight for dim, weight in options.items() if not (dim / _G).fault}
    return weighted(rng, options)


def _channels(shape: Shape) -> tuple[int, Side] | None:
    for number, side in enumerate(shape.sides):
        if side.kind == CHANNEL:
            return number, side
    return None


def _group(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    found = _channels(growth.shapes[i])
    if found is None or found[1].dim("c") is ONE:
        return None
    c = found[1].dim("c")
    options = {_G: 3.0, c: 1.5, Dim.of(2): 0.5, Dim.of(4): 0.7, Dim.of(8): 0.5}
    return Group((i,), by=weighted(rng, {by: weight for by, weight in options.items() if not (c / by).fault}))


def _view(kind: type[Ungroup] | type[Transpose]) -> Drawer:
    def make(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
        return kind((i,)) if _channels(growth.shapes[i]) else None

    return make


def _positions(shape: Shape) -> list[str]:
    return [name for name, _ in shape.axes() if name[2:] in ("h", "w")]


def _shift(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    axes = _positions(growth.shapes[i])
    if not axes:
        return None
    chosen = axes if rng.random() < 0.4 else [pick(rng, axes)]
    by = pick(rng, settings.shifts)
    return Shift((i,), axes=tuple(chosen), by=by if rng.random() < 0.5 else -by)


def _unfold(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    shape = growth.shapes[i]
    free = [axis for axis in "hw" if shape.second.kind == SPATIAL and shape.second.dim(axis) is not ONE]
    if not free:
        return None
    over = "".join(free) if rng.random() < 0.6 else pick(rng, free)
    return Unfold((i,), over=over, k=pick(rng, settings.kernel_sizes), d=pick(rng, settings.dilations))


def _fold(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    axes = _some_axes(growth.shapes[i], rng, one_side=True)
    return Fold((i,), axes=axes, how="mean" if rng.random() < 0.6 else "max") if axes else None


def _softmax(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    axes = _some_axes(growth.shapes[i], rng, one_side=True)
    return Softmax((i,), axes=axes) if axes else None


def _normalize(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    axes = _some_axes(growth.shapes[i], rng, one_side=rng.random() < 0.7)
    return Normalize((i,), axes=axes, how=pick(rng, ("l2", "standard"))) if axes else None


def _over_axes(kind: type[Scale] | type[Bias]) -> Drawer:
    def make(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
        axes = _weight_axes(growth.shapes[i], settings)
        if not axes:
            return None
        chosen = axes if rng.random() < 0.7 else [name for name in axes if rng.random() < 0.5] or [pick(rng, axes)]
        return kind((i,), axes=tuple(chosen))

    return make


def _some_axes(shape: Shape, rng: np.random.Generator, *, one_side: bool) -> tuple[str, ...]:
    """Axes to gather over: the taps of an unfold before anything else, then all channels or all positions, or one axis."""
    names = [name for name, _ in shape.axes()]
    taps = [name for name in names if name[2:] in ("kh", "kw")]
    if taps and rng.random() < 0.7:
        return tuple(name for name in taps if name[0] == taps[0][0])
    if not one_side:
        return tuple(name for name in names if rng.random() < 0.7)
    side = [name for name in names if name[0] == pick(rng, "01")]
    return tuple(side) if not side or rng.random() < 0.6 else (pick(rng, side),)


def _weight_axes(shape: Shape, settings: GenerationSettings) -> list[str]:
    """The axes that a weight may run over: those that do not depend on H or W, unless that is asked for."""
    fixed = settings.fixed_size
    return [name for name, dim in shape.axes() if fixed or not (dim.power_of("H") or dim.power_of("W"))]


def _fc(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    found = _channels(growth.shapes[i])
    if found is None or not set(_weight_axes(growth.shapes[i], settings)) >= _names(found):
        return None
    return Fc((i,), to=width(growth, found[1].dim("g"), rng))


def _names(found: tuple[int, Side]) -> set[str]:
    return {f"{found[0]}.{name}" for name, _ in found[1].axes()}


def _conv(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    shape = growth.shapes[i]
    if shape.first.kind != CHANNEL or shape.second.kind != SPATIAL:
        return None
    present = [dim is not ONE for dim in shape.second.dims]
    size = pick(rng, settings.kernel_sizes)
    k = [size if there else 1 for there in present]
    if sum(present) == 2 and rng.random() < 0.2:
        k[pick(rng, (0, 1))] = 1
    d = pick(rng, settings.dilations)
    dilation = tuple(d if taps > 1 else 1 for taps in k)
    g, c = shape.first.dim("g"), shape.first.dim("c")
    depthwise = g is ONE and c is not ONE and rng.random() < 0.45
    to = pick(rng, [c, c, c, c * Dim.of(2)]) if depthwise else width(growth, g, rng)
    return Conv((i,), to=to, k=(k[0], k[1]), d=(dilation[0], dilation[1]), depthwise=depthwise)


def _mix(growth: Growth, i: int, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    shape = growth.shapes[i]
    axes = _weight_axes(shape, settings)
    if not axes:
        return None
    count = 1 if rng.random() < 0.6 else 2
    chosen = sorted({pick(rng, axes) for _ in range(count)}, key=axes.index)
    to = []
    for name in chosen:
        dim = shape.axis(name)
        wide = name[2:] in ("g", "c") and rng.random() < 0.4
        to.append(width(growth, ONE, rng) if wide else ONE if name[2:] in ("kh", "kw") and rng.random() < 0.6 else dim)
    return Mix((i,), axes=tuple(chosen), to=tuple(to))


Drawer = Callable[[Growth, int, GenerationSettings, np.random.Generator], Step | None]

_DRAWERS: dict[str, Drawer] = {
    "group": _group,
    "ungroup": _view(Ungroup),
    "transpose": _view(Transpose),
    "shift": _shift,
    "unfold": _unfold,
    "fold": _fold,
    "softmax": _softmax,
    "normalize": _normalize,
    "fc": _fc,
    "conv": _conv,
    "mix": _mix,
    "scale": _over_axes(Scale),
    "bias": _over_axes(Bias),
}


def draw_unary(op: str, growth: Growth, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    """A step of a primitive that reads one tensor, None if no operand fits at once."""
    i = operand(growth, settings, rng)
    if op in _DRAWERS:
        return _DRAWERS[op](growth, i, settings, rng)
    return OPS[op]((i,))


def draw_local(growth: Growth, settings: GenerationSettings, rng: np.random.Generator) -> Step | None:
    """A convolution or unfold over neighbours, of the newest open tensor if it has positions."""
    allowed = [op for op in ("conv", "conv", "conv", "unfold") if op in settings.ops()]
    if not allowed or growth.rank == 0:
        return None
    return _DRAWERS[pick(rng, allowed)](growth, growth.last, settings, rng)
