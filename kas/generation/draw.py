"""Drawing one step: the operand, then the attributes. A draw may not fit; `Growth.add` decides."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from kas.generation import windows
from kas.generation.choice import Choice, Random, pick
from kas.generation.growth import Growth
from kas.generation.moves import Move
from kas.generation.widths import width
from kas.language import OPS, Dim
from kas.language.dims import ONE
from kas.language.primitives.linear import Conv, Fc, Filter, Mix
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.language.primitives.scaling import Bias, Scale
from kas.language.primitives.spatial import Shift, Unfold
from kas.language.primitives.views import Group, Transpose, Ungroup

__all__ = ["draw_local", "draw_unary", "draw_wide", "operand", "takes_local", "takes_wide"]

_G, _TWO = Dim.of("G"), Dim.of(2)
_GROUPS = {_G: 3.0, Dim.of(2): 0.5, Dim.of(4): 0.7, Dim.of(8): 0.5}
_OWN_GROUP = 1.5  # a group for each channel

_ANOTHER = 0.15  # chance that a step reads another open tensor than the newest


def operand(growth: Growth, rng: Random) -> int:
    """The tensor that a step reads: mostly the newest open one, sometimes another, sometimes one that was read before."""
    point = rng.random()
    branch = growth.moves.settings.branch
    if point >= branch + _ANOTHER:
        return growth.last
    if point < branch and len(growth.open) < growth.moves.settings.max_width:
        return int(rng.random() * len(growth.shapes))
    return pick(rng, growth.open)


def _group(growth: Growth, i: int, rng: Random) -> Move | None:
    c = growth.facts[i].c
    options = _groups(c) if c is not ONE else None
    return growth.moves.get(Group, options.draw(rng)) if options else None


@lru_cache(maxsize=1 << 12)
def _groups(c: Dim) -> Choice[Dim]:
    """What channels may be grouped by; a width made for G heads by G alone."""
    if c.variables and c.power_of("G"):
        return Choice({_G: 1.0})
    return Choice({by: weight for by, weight in {**_GROUPS, c: _OWN_GROUP}.items() if not (c / by).fault})


def _view(kind: type[Ungroup] | type[Transpose]) -> Drawer:
    def make(growth: Growth, i: int, rng: Random) -> Move | None:
        return growth.moves.get(kind) if growth.facts[i].channels is not None else None

    return make


def _shift(growth: Growth, i: int, rng: Random) -> Move | None:
    axes = growth.facts[i].positions
    if not axes:
        return None
    chosen = axes if rng.random() < 0.4 else (pick(rng, axes),)
    by = pick(rng, growth.moves.settings.shifts)
    return growth.moves.get(Shift, chosen, by if rng.random() < 0.5 else -by)


def _unfold(growth: Growth, i: int, rng: Random) -> Move | None:
    free, settings = growth.facts[i].present, growth.moves.settings
    if not free:
        return None
    over = "".join(free) if rng.random() < 0.6 else pick(rng, free)
    return growth.moves.get(Unfold, over, pick(rng, settings.kernel_sizes), pick(rng, settings.dilations))


def _fold(growth: Growth, i: int, rng: Random) -> Move | None:
    axes = _some_axes(growth, i, rng, one_side=True)
    return growth.moves.get(Fold, axes, "mean" if rng.random() < 0.6 else "max") if axes else None


def _softmax(growth: Growth, i: int, rng: Random) -> Move | None:
    axes = _some_axes(growth, i, rng, one_side=True)
    return growth.moves.get(Softmax, axes) if axes else None


def _normalize(growth: Growth, i: int, rng: Random) -> Move | None:
    axes = _some_axes(growth, i, rng, one_side=rng.random() < 0.7)
    return growth.moves.get(Normalize, axes, "l2" if rng.random() < 0.5 else "standard") if axes else None


def _some_axes(growth: Growth, i: int, rng: Random, *, one_side: bool) -> tuple[str, ...]:
    """Axes to gather over: the taps of an unfold before anything else, then all channels or all positions, or one axis."""
    facts = growth.facts[i]
    if facts.taps and rng.random() < 0.7:
        return facts.taps
    if not one_side:
        return tuple([name for name in facts.axes if rng.random() < 0.7])
    side = facts.sides[int(rng.random() * 2)]
    return side if len(side) < 2 or rng.random() < 0.6 else (pick(rng, side),)


def _over_axes(kind: type[Scale] | type[Bias]) -> Drawer:
    def make(growth: Growth, i: int, rng: Random) -> Move | None:
        axes = _weight_axes(growth, i)
        if not axes:
            return None
        chosen = axes if rng.random() < 0.7 else tuple([name for name in axes if rng.random() < 0.5]) or (pick(rng, axes),)
        return growth.moves.get(kind, chosen)

    return make


def _weight_axes(growth: Growth, i: int) -> tuple[str, ...]:
    """The axes that a weight may run over: those that do not depend on H or W, unless that is asked for."""
    facts = growth.facts[i]
    return facts.axes if growth.moves.settings.fixed_size else facts.free


def _fc(growth: Growth, i: int, rng: Random) -> Move | None:
    facts = growth.facts[i]
    return None if facts.channels is None else growth.moves.get(Fc, width(growth, facts.g, rng))


def _conv(growth: Growth, i: int, rng: Random) -> Move | None:
    facts, settings = growth.facts[i], growth.moves.settings
    if not facts.image or facts.mixed:
        return None
    size, present = pick(rng, settings.kernel_sizes), facts.present
    k = [size if "h" in present else 1, size if "w" in present else 1]
    if len(present) == 2 and rng.random() < 0.2:
        k[int(rng.random() * 2)] = 1
    dilation = pick(rng, settings.dilations)
    d = (dilation if k[0] > 1 else 1, dilation if k[1] > 1 else 1)
    depthwise = facts.g is ONE and facts.c is not ONE and not growth.wide and rng.random() < 0.45
    to = width(growth, facts.g, rng) if not depthwise else facts.c if rng.random() < 0.75 else facts.c * _TWO
    return growth.moves.get(Conv, to, (k[0], k[1]), d, depthwise)


def _mix(growth: Growth, i: int, rng: Random) -> Move | None:
    axes = _weight_axes(growth, i)
    if not axes:
        return None
    chosen = [pick(rng, axes)] if rng.random() < 0.6 else sorted({pick(rng, axes), pick(rng, axes)}, key=axes.index)
    return growth.moves.get(Mix, tuple(chosen), tuple([_mixed(growth, i, name, rng) for name in chosen]))


def _mixed(growth: Growth, i: int, name: str, rng: Random) -> Dim:
    """What a mix makes of an axis: taps mostly go, channels may change, everything else stays as long as it is."""
    if name[2:] in ("kh", "kw") and rng.random() < 0.6:
        return ONE
    if name[2:] in ("g", "c") and rng.random() < 0.4:
        return width(growth, ONE, rng)
    return growth.shapes[i].axis(name)


def _filter(growth: Growth, i: int, rng: Random) -> Move | None:
    """Along channels as often as along all other axes."""
    names, settings = growth.facts[i].axes, growth.moves.settings
    along = [name for name in names if name[2:] == "c"] if rng.random() < 0.5 else []
    along = along or [name for name in names if name[2:] in ("c", "h", "w")]
    if not along:
        return None
    return growth.moves.get(Filter, pick(rng, along), pick(rng, settings.kernel_sizes), pick(rng, settings.dilations))


Drawer = Callable[[Growth, int, Random], "Move | None"]

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
    "filter": _filter,
    "scale": _over_axes(Scale),
    "bias": _over_axes(Bias),
    **windows.DRAWERS,
}


def draw_unary(op: str, growth: Growth, i: int, rng: Random) -> Move | None:
    """A primitive that reads one tensor with attributes for tensor `i`, None if it cannot read that one at all."""
    drawer = _DRAWERS.get(op)
    return drawer(growth, i, rng) if drawer else growth.moves.get(OPS[op])


def draw_local(growth: Growth, i: int, rng: Random) -> Move | None:
    """A convolution or unfold over neighbours, or a shift where neither is allowed; None if tensor `i` has no positions."""
    weights = growth.moves.settings.weights
    wanted = (("conv", "conv", "conv", "unfold"), ("shift",))
    allowed = next((some for ops in wanted if (some := [op for op in ops if op in weights])), [])
    return _DRAWERS[pick(rng, allowed)](growth, i, rng) if allowed and growth.moves.rank else None


def takes_local(growth: Growth, i: int) -> bool:
    """Whether a step can read the neighbours of positions of a tensor."""
    weights, facts = growth.moves.settings.weights, growth.facts[i]
    if "conv" in weights or "unfold" in weights:
        return bool(facts.present) and facts.image and not facts.mixed
    return bool(facts.positions)


def draw_wide(growth: Growth, i: int, rng: Random) -> Move | None:
    """A linear map with a width that may be free; None if tensor `i` has no channels or none is allowed."""
    weights, facts = growth.moves.settings.weights, growth.facts[i]
    ops = ("conv", "conv", "fc") if facts.image and not facts.mixed else ("fc",)
    allowed = [op for op in ops if op in weights]
    return _DRAWERS[pick(rng, allowed)](growth, i, rng) if allowed else None


def takes_wide(growth: Growth, i: int) -> bool:
    """Whether a linear map of the channels of a tensor can have any width, which those of several groups but G cannot."""
    facts = growth.facts[i]
    return facts.channels is not None and (facts.g is ONE or facts.g is _G)
