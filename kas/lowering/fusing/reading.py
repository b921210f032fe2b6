"""From the linear steps of a program to affine functions. All other steps are opaque: nothing is merged through them.

Tensors must be images, `[channel | spatial]`, of the same positions; their channels are counted in memory order
`g, c, kh, kw`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from kas.language.dims import ONE
from kas.language.kernel import Kernel
from kas.language.primitives import Step
from kas.language.primitives._base import channel_side
from kas.language.primitives.binary import Add, Binary, align
from kas.language.primitives.linear import Conv, Fc, Filter, Mix
from kas.language.primitives.reductions import Fold
from kas.language.primitives.scaling import Bias, Scale
from kas.language.primitives.spatial import Shift, Unfold
from kas.language.shapes import CHANNEL, SPATIAL, Shape, Side
from kas.lowering.fusing.affine import Affine, Source
from kas.lowering.fusing.maps import HERE, ConvMap, Floats, Indices, Offset
from kas.lowering.fusing.sliding import sliding

__all__ = ["Program", "affine", "is_image", "is_view"]


class Program:
    """A kernel at given sizes with its weights: numbers instead of dims.

    Attributes:
        kernel, env: the program and the values of its symbols.
        weights: those of each weighted step, by its number, in any view of their layout; float64.
    """

    def __init__(self, kernel: Kernel, env: Mapping[str, int], weights: Mapping[int, Floats]):
        self.kernel = kernel
        self.env = env
        self.weights = weights

    def sizes(self, side: Side) -> tuple[int, ...]:
        """The sizes of all axes of a side, 1 for the empty ones."""
        return tuple(dim.value(self.env) for dim in side.dims)

    def channels(self, tensor: int) -> int:
        return self.kernel.shapes[tensor].first.product.value(self.env)

    def positions(self, tensor: int) -> int:
        return self.kernel.shapes[tensor].second.product.value(self.env)

    def grid(self, side: Side) -> Indices:
        """The numbers of all channels, `[g, c, kh, kw]`."""
        sizes = self.sizes(side)
        return np.arange(np.prod(sizes, dtype=np.int64)).reshape(sizes)


def is_image(shape: Shape) -> bool:
    return shape.first.kind == CHANNEL and shape.second.kind == SPATIAL


def is_view(step: Step) -> bool:
    """Whether a step moves nothing."""
    return step.op in ("group", "ungroup")


def affine(program: Program, number: int) -> Affine | None:
    """What step `number` does to the tensors that it reads; None if it is not linear or not the same at every position."""
    step = program.kernel.steps[number - 1]
    shapes = program.kernel.shapes
    if step.op not in _READERS or not all(is_image(shapes[i]) for i in (*step.ins, number)):
        return None
    if any(shapes[i].second != shapes[number].second for i in step.ins):
        return None
    return _READERS[step.op](program, step, number)


def _view(program: Program, step: Step, number: int) -> Affine | None:
    return Affine.of((step.ins[0], ConvMap.diagonal(np.ones(program.channels(number)))))


def _neg(program: Program, step: Step, number: int) -> Affine | None:
    return Affine.of((step.ins[0], ConvMap.diagonal(-np.ones(program.channels(number)))))


def _transpose(program: Program, step: Step, number: int) -> Affine | None:
    shape = program.kernel.shapes[step.ins[0]]
    if channel_side(shape, getattr(step, "side", None)) != 0:
        return None
    index = program.grid(shape.first).swapaxes(0, 1).ravel()
    return Affine.of((step.ins[0], ConvMap.selection(len(index), index)))


def _shift(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Shift)
    roll = (step.by if "1.h" in step.axes else 0, step.by if "1.w" in step.axes else 0)
    identity = ConvMap.diagonal(np.ones(program.channels(number)))
    return Affine({Source(step.ins[0], roll): identity}, np.zeros(identity.rows))


def _unfold(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Unfold)
    before, after = (program.kernel.shapes[i].first for i in (step.ins[0], number))
    source, result = program.grid(before), program.grid(after)
    entries = {}
    for tap_h, offset_h in _taps(step, "h"):
        for tap_w, offset_w in _taps(step, "w"):
            rows = result[:, :, tap_h, tap_w].ravel()
            entries[offset_h, offset_w] = (rows, source.ravel(), np.ones(source.size))
    return Affine.of((step.ins[0], ConvMap.of_entries(result.size, source.size, entries)))


def _taps(step: Unfold, axis: str) -> list[tuple[slice, int]]:
    """Where each tap of an unfold goes on its axis, and the offset that it reads; all stays in place on the other axis."""
    if axis not in step.over:
        return [(slice(None), 0)]
    return [(slice(tap, tap + 1), (tap - step.k // 2) * step.d) for tap in range(step.k)]


def _fold(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Fold)
    if step.how != "mean" or any(name[0] == "1" for name in step.axes):
        return None
    before, after = (program.kernel.shapes[i].first for i in (step.ins[0], number))
    source = program.grid(before)
    rows = np.broadcast_to(program.grid(after), source.shape).ravel()
    share = program.channels(number) / source.size
    entries = {HERE: (rows, source.ravel(), np.full(source.size, share))}
    return Affine.of((step.ins[0], ConvMap.of_entries(program.channels(number), source.size, entries)))


def _blocks(weight: Floats, columns: int, offset: Callable[[int, int], Offset]) -> ConvMap:
    """A convolution with weight `[groups, rows/groups, columns/groups, kh, kw]`."""
    groups, out, inner, kh, kw = weight.shape
    g, i, j = np.meshgrid(np.arange(groups), np.arange(out), np.arange(inner), indexing="ij")
    rows, cols = (g * out + i).ravel(), (g * inner + j).ravel()
    entries = {offset(a, b): (rows, cols, weight[..., a, b].ravel()) for a in range(kh) for b in range(kw)}
    return ConvMap.of_entries(groups * out, columns, entries)


def _fc(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Fc)
    shape = program.kernel.shapes[step.ins[0]]
    if channel_side(shape, step.side) != 0:
        return None
    g, *inner = program.sizes(shape.first)
    weight = program.weights[number].reshape(g, -1, int(np.prod(inner)), 1, 1)
    return Affine.of((step.ins[0], _blocks(weight, program.channels(step.ins[0]), lambda a, b: HERE)))


def _conv(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Conv)
    g, c, _, _ = program.sizes(program.kernel.shapes[step.ins[0]].first)
    groups = c if step.depthwise else g
    (kh, kw), (dh, dw) = step.k, step.d
    weight = program.weights[number].reshape(groups, program.channels(number) // groups, g * c // groups, kh, kw)

    def offset(a: int, b: int) -> Offset:
        return (a - kh // 2) * dh, (b - kw // 2) * dw

    return Affine.of((step.ins[0], _blocks(weight, g * c, offset)))


def _mix(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Mix)
    if any(name[0] == "1" for name in step.axes):
        return None
    before, after = (program.kernel.shapes[i].first for i in (step.ins[0], number))
    mixed = [before.names.index(name[2:]) for name in step.axes]
    order = [axis for axis in range(4) if axis not in mixed] + mixed
    old, new = (program.grid(side).transpose(order) for side in (before, after))
    inner = int(np.prod([old.shape[len(order) - len(mixed) + i] for i in range(len(mixed))]))
    columns, rows = old.reshape(-1, 1, inner), new.reshape(len(old.reshape(-1, inner)), -1, 1)
    weight = program.weights[number].reshape(1, rows.shape[1], inner)
    i, j = (grid.ravel() for grid in np.broadcast_arrays(rows, columns))
    values = np.broadcast_to(weight, (len(columns), *weight.shape[1:])).ravel()
    return Affine.of((step.ins[0], ConvMap.of_entries(new.size, old.size, {HERE: (i, j, values)})))


def _filter(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Filter)
    grid = program.grid(program.kernel.shapes[number].first)
    return Affine.of((step.ins[0], sliding(step.axis, step.d, program.weights[number].ravel(), grid)))


def _per_channel(program: Program, step: Scale | Bias, number: int) -> Floats | None:
    """The weight of a scale or bias, one value for each channel."""
    if any(name[0] == "1" for name in step.axes):
        return None
    side = program.kernel.shapes[number].first
    sizes = program.sizes(side)
    shape = [size if f"0.{name}" in step.axes else 1 for name, size in zip(side.names, sizes, strict=True)]
    return np.broadcast_to(program.weights[number].reshape(shape), sizes).ravel()


def _scale(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Scale)
    values = _per_channel(program, step, number)
    return None if values is None else Affine.of((step.ins[0], ConvMap.diagonal(values)))


def _bias(program: Program, step: Step, number: int) -> Affine | None:
    assert isinstance(step, Bias)
    values = _per_channel(program, step, number)
    identity = ConvMap.diagonal(np.ones(program.channels(number)))
    return None if values is None else Affine({Source(step.ins[0]): identity}, values)


def _sum(program: Program, step: Step, number: int) -> Affine | None:
    """add and sub, the left operand broadcast over channels."""
    assert isinstance(step, Binary)
    left, right = (program.kernel.shapes[i].first for i in step.ins)
    how, theirs = align(left, right), program.channels(step.ins[1])
    if how.by_name:
        sizes = [n if dim is not ONE else 1 for n, dim in zip(program.sizes(right), left.dims, strict=True)]
        index = np.broadcast_to(np.arange(int(np.prod(sizes))).reshape(sizes), program.sizes(right)).ravel()
    else:
        prefix, rest, suffix, m = (dim.value(program.env) for dim in (how.prefix, how.rest, how.suffix, how.multiplier))
        index = np.arange(prefix * rest * suffix).reshape(prefix, 1, rest, suffix).repeat(m, axis=1).ravel()
    ours = ConvMap.selection(program.channels(step.ins[0]), index)
    one, minus = (ConvMap.diagonal(np.full(theirs, value)) for value in (1.0, -1.0))
    if isinstance(step, Add):
        return Affine.of((step.ins[0], ours), (step.ins[1], one))
    if getattr(step, "swap", False):
        negative = minus.after(ours)
        assert negative is not None
        return Affine.of((step.ins[0], negative), (step.ins[1], one))
    return Affine.of((step.ins[0], ours), (step.ins[1], minus))


_READERS: dict[str, Callable[[Program, Step, int], Affine | None]] = {
    "group": _view,
    "ungroup": _view,
    "transpose": _transpose,
    "neg": _neg,
    "shift": _shift,
    "unfold": _unfold,
    "fold": _fold,
    "fc": _fc,
    "conv": _conv,
    "mix": _mix,
    "filter": _filter,
    "scale": _scale,
    "bias": _bias,
    "add": _sum,
    "sub": _sum,
}
