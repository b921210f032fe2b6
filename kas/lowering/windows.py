"""Lowering of windows, sub-pixels, pooling, upsampling, overlapping sums and shifted parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.primitives import Step
from kas.language.primitives.windows import Col2im, Pool, SpatialShift, Unwindow, Upsample, Window
from kas.language.shapes import Shape
from kas.lowering._site import Plain, Site
from kas.lowering.code import Code, Form, form_of
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node

__all__ = ["OPTIMIZED", "PLAIN"]

View = Callable[[Form], str]  # the expression of the input in a form
# From an input and its shape to an expression and its form.
Write = Callable[[Code, Any, View, Shape], tuple[str, Form]]
Name = Callable[[str], str]  # from an expression to a variable


def _parts(shape: Shape) -> tuple[Dim, Dim, Dim, Dim, Dim]:
    """All channels, kh, kw, h and w of an image; ONE for what is empty."""
    g, c, kh, kw = shape.first.dims
    h, w = shape.second.dims
    return g * c, kh, kw, h, w


def _window(code: Code, step: Window, view: View, shape: Shape) -> tuple[str, Form]:
    channels, kh, kw, h, w = _parts(shape)
    size = {axis: Dim.of(step.size) if axis in step.over else ONE for axis in "hw"}
    cut = view((channels, kh, kw, h / size["h"], size["h"], w / size["w"], size["w"]))
    taps = {axis: (window if step.grid and axis in step.over else place) for axis, window, place in (("h", 4, 5), ("w", 6, 7))}
    stay = {axis: 9 - tap if axis == "h" else 13 - tap for axis, tap in taps.items()}
    moved = f"{cut}.permute(0, 1, 2, {taps['h']}, 3, {taps['w']}, {stay['h']}, {stay['w']})"
    return _named(code, moved, step.apply(shape).shape)


def _unwindow(code: Code, step: Unwindow, view: View, shape: Shape) -> tuple[str, Form]:
    whole = view(_parts(shape))
    front, back = [0, 1], []
    for axis, tap, position in (("h", 2, 4), ("w", 3, 5)):
        if axis not in step.over:
            front.append(tap)
            back.append(position)
        else:
            back += [tap, position] if step.grid else [position, tap]
    moved = f"{whole}.permute({', '.join(map(str, front + back))})"
    return _named(code, moved, step.apply(shape).shape)


def _named(code: Code, tensor: str, result: Shape) -> tuple[str, Form]:
    form = form_of(result)
    return code.reshape(tensor, form), form


def _subpixel(code: Code, step: Step, view: View, shape: Shape) -> tuple[str, Form]:
    return view(form_of(shape)), form_of(shape)


def _image(shape: Shape) -> Form:
    """All channels and taps, h and w."""
    return (shape.first.product, *shape.second.dims)


def _pool(code: Code, step: Pool, view: View, shape: Shape) -> tuple[str, Form]:
    kernel = tuple(step.k if axis in step.over else 1 for axis in "hw")
    call = "avg" if step.how == "mean" else "max"
    return f"F.{call}_pool2d({view(_image(shape))}, {kernel})", (shape.first.product, *step.apply(shape).shape.second.dims)


def _upsample(code: Code, step: Upsample, view: View, shape: Shape) -> tuple[str, Form]:
    image = view(_image(shape))
    for number, axis in enumerate("hw", 2):
        if axis in step.over:
            image = f"{image}.repeat_interleave({step.k}, {number})"
    return image, (shape.first.product, *step.apply(shape).shape.second.dims)


def _col2im(code: Code, step: Col2im, view: View, shape: Shape) -> tuple[str, Form]:
    channels, kh, kw, h, w = _parts(shape)
    moved = step.over == "h" and kw is not ONE  # the taps over w belong to the channels
    whole = f"{view((channels, kh, kw, h * w))}.transpose(2, 3)" if moved else ""
    channels = channels * kw if moved else channels
    kernel = tuple(code.number(tap) if axis in step.over else 1 for axis, tap in (("h", kh), ("w", kw)))
    if step.over == "w":
        channels = channels * kh
    spread = tuple(step.d if axis in step.over else 1 for axis in "hw")
    padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, spread, strict=True))
    taps = Dim.of(kernel[0] * kernel[1])
    form = (channels * taps, h * w)
    columns = code.reshape(whole, form) if moved else view(form)
    size = f"({code.size(h)}, {code.size(w)})"
    return f"F.fold({columns}, {size}, {kernel}, dilation={spread}, padding={padding})", (channels, h, w)


def _spatial_shift(code: Code, step: SpatialShift, view: View, shape: Shape, name: Name) -> tuple[str, Form]:
    form = _image(shape)
    parts = name(f"{view(form)}.chunk({len(step.by)}, 1)")
    shifted = [_shifted(code, f"{parts}[{i}]", by, step.pad, shape) for i, by in enumerate(step.by)]
    return f"torch.cat([{', '.join(shifted)}], 1)", form


def _shifted(code: Code, part: str, by: tuple[int, int], pad: str, shape: Shape) -> str:
    """One part, of `[N, c, h, w]`, at `p - by`."""
    down, right = by
    if not any(by):
        return part
    if pad == "roll":
        return f"torch.roll({part}, ({down}, {right}), (2, 3))"
    if pad == "zero":
        return f"F.pad({part}, ({right}, {-right}, {down}, {-down}))"
    around = f"({max(right, 0)}, {max(-right, 0)}, {max(down, 0)}, {max(-down, 0)})"
    h, w = (code.size(dim) for dim in shape.second.dims)
    rows = f":{h}" if down >= 0 else f"{-down}:"
    columns = f":{w}" if right >= 0 else f"{-right}:"
    return f'F.pad({part}, {around}, mode="replicate")[..., {rows}, {columns}]'


_WRITE: dict[str, Write] = {
    "window": _window,
    "unwindow": _unwindow,
    "subpixel": _subpixel,
    "pool": _pool,
    "upsample": _upsample,
    "col2im": _col2im,
}


def _plain(write: Write) -> Plain:
    def one(site: Site) -> str:
        tensor, form = write(site.code, site.step, partial(site.input, 0), site.shapes[0])
        return site.output(tensor, form)

    return one


def _optimized(write: Write) -> Emit:
    def one(emitter: Emitter, node: Node) -> tuple[str, Form]:
        source = node.ins[0]
        return write(emitter.code, node.step, partial(emitter.reshaped, source), source.shape)

    return one


def _plain_shift(site: Site) -> str:
    assert isinstance(site.step, SpatialShift)

    def name(expression: str) -> str:
        site.code.add("parts", expression, "")
        return "parts"

    tensor, form = _spatial_shift(site.code, site.step, partial(site.input, 0), site.shapes[0], name)
    return site.output(tensor, form)


def _emit_shift(emitter: Emitter, node: Node) -> tuple[str, Form]:
    assert isinstance(node.step, SpatialShift)
    source = node.ins[0]
    return _spatial_shift(emitter.code, node.step, partial(emitter.reshaped, source), source.shape, emitter.variable)


PLAIN: dict[str, Plain] = {op: _plain(write) for op, write in _WRITE.items()} | {"spatial_shift": _plain_shift}
OPTIMIZED: dict[str, Emit] = {op: _optimized(write) for op, write in _WRITE.items()} | {"spatial_shift": _emit_shift}
