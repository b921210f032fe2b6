"""Writing rows, `[N, positions | channels]` with the channels side by side in memory: the linear maps that make them, views."""

from __future__ import annotations

from collections import Counter

from kas.language.dims import ONE, Dim
from kas.language.primitives.windows import Unwindow, Window
from kas.lowering.code import Form
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node
from kas.lowering.linear import permutation
from kas.lowering.matmul import matrix, scaled

__all__ = ["OPTIMIZED"]


def _emit_rows(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A matrix with its sides swapped in memory."""
    return f"{matrix(emitter, node.ins[0], True)}.contiguous()", (node.shape.first.product, node.shape.second.product)


def _emit_swap(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A matrix with its sides swapped, the memory as it is."""
    return matrix(emitter, node.ins[0], True), (node.shape.first.product, node.shape.second.product)


def _emit_image(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Rows as an image of two positions with its channels last in memory; permuted, as torch knows one sample for that then."""
    channels, space = node.shape.first.product, node.shape.second.dims
    return f"{emitter.reshaped(node.ins[0], (*space, channels))}.permute(0, 3, 1, 2)", (channels, *space)


def _emit_turned(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """An image with its channels last in memory, or first, by a function that the module brings along."""
    form = (node.shape.first.product, *node.shape.second.dims)
    return f"{node.op.replace(' ', '_')}({emitter.reshaped(node.ins[0], form)})", form


def _emit_project(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A linear map of the channels of an image, as rows `[N, positions, channels]`."""
    conv, base = node.convolution, node.ins[0]
    inner = base.shape.first.product
    weight = emitter.parameter(conv.weight.number, (emitter.code.number(conv.out), emitter.code.number(inner)))
    emitter.code.names.add("n")
    image = emitter.reshaped(base, (inner, base.shape.second.product))
    left, right = f"{image}.mT", f"{weight}.t().expand(n, -1, -1)"
    rows = scaled(left, right, emitter.divisor(node))
    return rows, (node.shape.first.product, node.shape.second.product)


def _emit_projects(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Several linear maps of the channels of an image, side by side, as rows `[N, positions, all widths]`.

    With `inner`, of another map before them: the product of the weights is made first.
    """
    widths, numbers, inner = _maps(node)
    base, positions, count = node.ins[0], node.ins[0].shape.second.product, emitter.code.number
    channels = count(base.shape.first.product)
    read = emitter.raw(inner)[1][0] if inner else channels
    parts = (emitter.parameter(number, (count(width), read)) for number, width in zip(numbers, widths, strict=True))
    weight = f"torch.cat([{', '.join(parts)}])"
    if inner:
        weight = f"torch.mm({weight}, {emitter.parameter(inner, (read, channels))})"
    emitter.code.names.add("n")
    image = emitter.reshaped(base, (base.shape.first.product, positions))
    left, right = f"{image}.mT", f"{weight}.t().expand(n, -1, -1)"
    joint = scaled(left, right, emitter.divisor(node))
    if any(width is not widths[0] for width in widths):  # no dim says how wide it is
        joint = emitter.variable(joint)
    return joint, (positions, node.shape.second.product)


def _maps(node: Node) -> tuple[tuple[Dim, ...], tuple[int, ...], int]:
    """Widths and parameters of the maps of a joint product, and that of the map before them, 0 for none."""
    assert isinstance(node.attributes, tuple)
    widths, numbers, inner = node.attributes
    assert isinstance(widths, tuple)
    assert isinstance(numbers, tuple)
    assert isinstance(inner, int)
    return widths, numbers, inner


def _emit_part(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """One of them, in the memory of all."""
    assert isinstance(node.attributes, tuple)
    (i,), joint = node.attributes, node.ins[0]
    assert isinstance(i, int)
    widths, _, _ = _maps(joint.ins[0] if joint.op == "windowed" else joint)
    count, value = emitter.code.number, emitter.values[joint]
    before = " + ".join(f"{times * count(width)!r}" for width, times in Counter(widths[:i]).items()) or "0"
    axis = len(joint.shape.first.axes())  # behind the positions
    form = (*value.form[:axis], widths[i], *value.form[axis + 1 :]) if joint.op == "windowed" else (value.form[0], widths[i])
    return f"{value.name}.narrow({axis + 1 if joint.op == 'windowed' else 2}, {before}, {count(widths[i])})", form


def _emit_windowed(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Rows cut into windows: `[N, h, w | g, c, kh, kw]`, as views of the rows; of several maps with the taps first."""
    step, base = node.step, node.ins[0]
    assert isinstance(step, Window)
    cut: list[tuple[int, Dim]] = []  # where each axis goes: positions, channels, taps
    for axis, dim in zip("hw", base.shape.first.dims, strict=True):
        if axis in step.over:
            cut += [(2 * step.grid, dim / Dim.of(step.size)), (2 - 2 * step.grid, Dim.of(step.size))]
        else:
            cut.append((0, dim))
    cut = [(place, dim) for place, dim in [*cut, *((1, dim) for _, dim in base.shape.second.axes())] if dim is not ONE]
    order = sorted(range(len(cut)), key=lambda i: cut[i][0])
    image, form = emitter.reshaped(base, tuple(dim for _, dim in cut)), tuple(cut[i][1] for i in order)
    if base.op != "projects":
        return image + permutation([0, *(i + 1 for i in order)]), form
    first = sorted(order, key=lambda i: (cut[i][0] + 1) % 3)
    back = permutation([0, *(first.index(i) + 1 for i in order)])
    return f"{image}{permutation([0, *(i + 1 for i in first)])}.contiguous(){back}", form


def _emit_unwindowed(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Windows put back, as rows `[N, positions, channels]`: what is copied is copied by rows."""
    step, base = node.step, node.ins[0]
    assert isinstance(step, Unwindow)
    own = [name for name, _ in base.shape.axes()]
    order = []
    for axis in "hw":
        pair = [f"0.k{axis}", f"1.{axis}"] if axis in step.over else [f"1.{axis}"]
        order += pair if step.grid else pair[::-1]
    order = [name for name in (*order, "0.g", "0.c") if name in own]
    form = (node.shape.first.product, node.shape.second.product)
    moved = emitter.axes(base) + permutation([0, *(1 + own.index(name) for name in order)])
    return emitter.code.reshape(moved, form), form


OPTIMIZED: dict[str, Emit] = {
    "rows": _emit_rows,
    "swap": _emit_swap,
    "image": _emit_image,
    "channels last": _emit_turned,
    "channels first": _emit_turned,
    "project": _emit_project,
    "projects": _emit_projects,
    "part": _emit_part,
    "windowed": _emit_windowed,
    "unwindowed": _emit_unwindowed,
}
