"""Lowering of shift and unfold."""

from __future__ import annotations

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import product
from kas.language.primitives.spatial import Shift, Unfold
from kas.language.shapes import Shape
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form, form_of
from kas.lowering.convolution import padded
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node, Window

__all__ = ["OPTIMIZED", "PLAIN", "image_form"]

_FEW = 16  # positions: up to there `F.unfold` is faster on a CPU (1.2 times at 4x4), from 8x8 on a copy of views is (1.5 to 3)


def _shift(site: Site) -> str:
    assert isinstance(site.step, Shift)
    dims = site.positions(site.step.axes)
    shifts = (site.step.by,) * len(dims)
    return f"torch.roll({site.ins[0]}, {shifts}, {dims})"


def _unfold(site: Site) -> str:
    """`F.unfold` puts the taps behind all channels; over h, the taps over w that are there already move behind them."""
    step = site.step
    assert isinstance(step, Unfold)
    channels, positions = site.shapes[0].sides
    h, w = positions.dims
    kernel = tuple(step.k if axis in step.over else 1 for axis in "hw")
    spread = tuple(step.d if axis in step.over else 1 for axis in "hw")
    padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, spread, strict=True))
    image = site.code.reshape(site.ins[0], (channels.product, h, w))
    taps = f"F.unfold({image}, {kernel}, dilation={spread}, padding={padding})"
    old, new = channels.dim("kw"), Dim.of(step.k)
    if step.over == "h" and old is not ONE:
        front = product((channels.dim("g"), channels.dim("c")))
        taps = f"{site.code.reshape(taps, (front, old, new, h * w))}.transpose(2, 3)"
    return site.output(taps, ())


PLAIN: dict[str, Plain] = {"shift": _shift, "unfold": _unfold}


def image_form(shape: Shape) -> Form:
    """The channels as one axis, then the positions."""
    return (shape.first.product, *(dim for _, dim in shape.second.axes()))


def _emit_shift(emitter: Emitter, node: Node) -> tuple[str, Form]:
    assert isinstance(node.step, Shift)
    value, shape = emitter.values[node.ins[0]], node.ins[0].shape
    expression, form, dims = value.name, value.form, []
    for name in node.step.axes:
        found = _own_axis(form, shape, name)
        if found is None:
            expression, form = emitter.axes(node.ins[0]), form_of(shape)
            dims = [1 + [axis for axis, _ in shape.axes()].index(axis) for axis in node.step.axes]
            break
        dims.append(1 + found)
    shifts = (node.step.by,) * len(dims)
    if len(dims) == 1:
        return f"torch.roll({expression}, {node.step.by}, {dims[0]})", form
    return f"torch.roll({expression}, {shifts}, {tuple(dims)})", form


def _own_axis(form: Form, shape: Shape, name: str) -> int | None:
    """The position in a form of a named axis, if it is one whole torch axis there."""
    before = ONE
    for axis, dim in shape.axes():
        if axis == name:
            break
        before = before * dim
    total = ONE
    for i, size in enumerate(form):
        if total is before and size is dim:
            return i
        total = total * size
    return None


def _emit_taps(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """What nothing fused: all neighbours, in memory."""
    base, window = node.ins[0], node.window
    positions = base.shape.second
    there = [i for i, dim in enumerate(positions.dims) if dim is not ONE]
    image = emitter.reshaped(base, image_form(base.shape))
    if len(there) == 2 and emitter.code.number(positions.product) <= _FEW:
        form: Form = (base.shape.first.product, Dim.of(window.taps), *positions.dims)
        image, padding = (padded(image, window, there), (0, 0)) if window.fill else (image, window.padding)
        return emitter.code.reshape(f"F.unfold({image}, {window.k}, dilation={window.d}, padding={padding})", form), form
    over = [i for i in there if window.k[i] > 1]
    taps = padded(image, window, there)
    for i in over:
        taps += f".unfold({2 + there.index(i)}, {window.d[i] * (window.k[i] - 1) + 1}, 1)"
    if any(window.d[i] > 1 for i in over):
        taps += f"[..., {', '.join(f'::{window.d[i]}' for i in over)}]"
    axes = 2 + len(there)
    order = (0, 1, *range(axes, axes + len(over)), *range(2, axes))
    form = (base.shape.first.product, *(Dim.of(window.k[i]) for i in over), *(dim for _, dim in positions.axes()))
    return f"{taps}.permute{order}.contiguous()", form


def _emit_unfold(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """An unfold over one axis next to taps over the other that were computed: `kh` goes before `kw`."""
    step, shape, code = node.step, node.ins[0].shape, emitter.code
    assert isinstance(step, Unfold)
    window = Window(*(tuple(v if axis in step.over else 1 for axis in "hw") for v in (step.k, step.d)))  # type: ignore[arg-type]
    h, w = shape.second.dims
    image = code.view(emitter.values[node.ins[0]].name, emitter.values[node.ins[0]].form, (shape.first.product, h, w))
    call = f"F.unfold({image}, {window.k}, dilation={window.d}, padding={window.padding})"
    new, old = Dim.of(step.k), shape.first.dim("kw")
    if old is ONE:
        form: Form = (shape.first.product, new, h, w)
        return code.reshape(call, form), form
    front = shape.first.product / old
    return f"{code.reshape(call, (front, old, new, h, w))}.transpose(2, 3)", (front, new, old, h, w)


OPTIMIZED: dict[str, Emit] = {"shift": _emit_shift, "taps": _emit_taps, "unfold": _emit_unfold}
