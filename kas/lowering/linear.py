"""Lowering of fc, conv, mix and filter."""

from __future__ import annotations

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import channel_side, product
from kas.language.primitives.linear import Conv, Fc, Filter, Mix
from kas.language.shapes import Shape
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form, axis_position, form_of
from kas.lowering.convolution import batched, emit_convolve, emit_cover, emit_covered, emit_local
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node

__all__ = ["OPTIMIZED", "PLAIN", "permutation"]

_FEW = 512  # elements of a sample that one convolution filters sooner than a loop does


def permutation(order: list[int]) -> str:
    """The call that permutes torch axes (the batch is 0), empty if they stay where they are."""
    return "" if order == sorted(order) else f".permute({', '.join(map(str, order))})"


def _fc(site: Site) -> str:
    step = site.step
    assert isinstance(step, Fc)
    number = channel_side(site.shapes[0], step.side)
    side, other = site.shapes[0].sides[number], site.shapes[0].sides[1 - number]
    g, p = side.dim("g"), other.product
    inner, out = side.product / g, step.to / g
    size = site.size
    weight = f"{site.weight}.reshape({size(g)}, {size(out)}, {size(inner)})"
    if number == 0:
        return site.output(f"torch.matmul({weight}, {site.input(form=(g, inner, p))})", (g, out, p))
    rows = f"{site.input(form=(p, g, inner))}.transpose(1, 2)"
    return site.output(f"torch.matmul({rows}, {weight}.transpose(1, 2)).transpose(1, 2)", (p, g, out))


def _conv(site: Site) -> str:
    """A convolution over the positions that are there; over one position where none are."""
    step = site.step
    assert isinstance(step, Conv)
    channels, positions = site.shapes[0].sides
    groups = channels.dim("c") if step.depthwise else channels.dim("g")
    there = [i for i, dim in enumerate(positions.dims) if dim is not ONE]
    weight = site.weight if there else f"{site.weight}.unsqueeze(2)"
    padding = tuple(step.d[i] * (step.k[i] - 1) // 2 for i in there) or (0,)
    dilation = tuple(step.d[i] for i in there) or (1,)
    space = tuple(positions.dims[i] for i in there) or (ONE,)
    image = site.input(form=(channels.product, *space))
    call = f"F.conv{len(space)}d({image}, {weight}, padding={padding}, dilation={dilation}, groups={site.size(groups)})"
    return site.output(call, (step.to, *space))


def _mix(site: Site) -> str:
    """The axes go last, one matrix maps them, and they go back to their places."""
    step = site.step
    assert isinstance(step, Mix)
    shape = site.shapes[0]
    kept = [name for name, _ in shape.axes() if name not in step.axes]
    old = product(shape.axis(name) for name in step.axes)
    rest = tuple(shape.axis(name) for name in kept)
    moved = site.ins[0] + permutation([0, *(axis_position(shape, name) for name in (*kept, *step.axes))])
    rows = site.code.reshape(moved, (product(rest), old))
    mapped = f"torch.matmul({rows}, {site.weight}.t())"
    new = [(name, dim) for name, dim in zip(step.axes, step.to, strict=True) if dim is not ONE]
    names = [*kept, *(name for name, _ in new)]
    mapped = site.code.reshape(mapped, (*rest, *(dim for _, dim in new)))
    order = [names.index(name) + 1 for name, _ in site.result.axes()]
    assert len(order) == len(form_of(site.result))
    return mapped + permutation([0, *order])


def _parts(shape: Shape, axis: str) -> tuple[Dim, Dim, Dim]:
    """What is before an axis in memory, the axis, and what is behind it."""
    names = [name for name, _ in shape.axes()]
    at, dims = names.index(axis), form_of(shape)
    return product(dims[:at]), dims[at], product(dims[at + 1 :])


def _filter(site: Site) -> str:
    """A convolution of one channel; what is before the axis is part of the batch."""
    step, code = site.step, site.code
    assert isinstance(step, Filter)
    before, own, after = _parts(site.shapes[0], step.axis)
    code.names.add("n")
    batch = "n" if before is ONE else f"n * {code.size(before)}"
    reach = step.d * (step.k - 1) // 2
    if after is ONE:
        image = f"{site.ins[0]}.reshape({batch}, 1, {code.size(own)})"
        call = f"F.conv1d({image}, {site.weight}, padding={reach}, dilation={step.d})"
    else:
        image = f"{site.ins[0]}.reshape({batch}, 1, {code.size(own)}, {code.size(after)})"
        call = f"F.conv2d({image}, {site.weight}.unsqueeze(3), padding=({reach}, 0), dilation=({step.d}, 1))"
    return code.reshape(call, form_of(site.result))


PLAIN: dict[str, Plain] = {"fc": _fc, "conv": _conv, "mix": _mix, "filter": _filter}


def _emit_fc(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """An fc that is no convolution: of a side next to channels, or of the second side."""
    step, shape = node.step, node.ins[0].shape
    assert isinstance(step, Fc)
    number = channel_side(shape, step.side)
    side, other = shape.sides[number], shape.sides[1 - number].product
    g, inner, out = side.dim("g"), side.product / side.dim("g"), step.to / side.dim("g")
    count = emitter.code.number
    if g is ONE:
        weight = emitter.parameter(node.number, (count(out), count(inner)))
        if number == 0:
            return batched(emitter, weight, emitter.reshaped(node.ins[0], (inner, other))), (out, other)
        return f"F.linear({emitter.reshaped(node.ins[0], (other, inner))}, {weight})", (other, out)
    weight = emitter.parameter(node.number, (count(g), count(out), count(inner)))
    if number == 0:
        return f"torch.matmul({weight}, {emitter.reshaped(node.ins[0], (g, inner, other))})", (g, out, other)
    rows = f"{emitter.reshaped(node.ins[0], (other, g, inner))}.transpose(1, 2)"
    return f"torch.matmul({rows}, {weight}.transpose(1, 2)).transpose(1, 2)", (other, g, out)


def _emit_mix(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """One matrix product; where the axes are neighbours, without moving them."""
    step, shape = node.step, node.ins[0].shape
    assert isinstance(step, Mix)
    axes = [name for name, _ in shape.axes()]
    at = sorted(axes.index(name) for name in step.axes)
    mapped = dict(zip(step.axes, step.to, strict=True))
    old, new = product(shape.axis(name) for name in step.axes), product(step.to)
    weight = _mix_weight(emitter, node.number, step, shape, [axes[i] for i in at])
    sizes = form_of(shape)
    if at == list(range(at[0], at[-1] + 1)):
        before, after = product(sizes[: at[0]]), product(sizes[at[-1] + 1 :])
        form = tuple(dim for dim in (before, old, after) if dim is not ONE)
        result = (*(dim for dim in (before,) if dim is not ONE), new, *(dim for dim in (after,) if dim is not ONE))
        x = emitter.reshaped(node.ins[0], form)
        if before is ONE and after is not ONE:
            return batched(emitter, weight, x), result
        return f"F.linear({x}, {weight})" if after is ONE else f"torch.matmul({weight}, {x})", result
    order = [i for i in range(len(axes)) if i not in at] + at
    rest = [axes[i] for i in order if i not in at]
    moved = emitter.axes(node.ins[0]) + permutation([0, *(i + 1 for i in order)])
    rows = emitter.code.reshape(moved, (product(shape.axis(name) for name in rest), old))
    made = [(name, mapped.get(name, shape.axis(name))) for name in (axes[i] for i in order)]
    made = [(name, dim) for name, dim in made if dim is not ONE]
    spread = emitter.code.reshape(f"F.linear({rows}, {weight})", tuple(dim for _, dim in made))
    names = [name for name, _ in made]
    back = [names.index(name) + 1 for name, _ in node.shape.axes()]
    return spread + permutation([0, *back]), form_of(node.shape)


def _mix_weight(emitter: Emitter, number: int, step: Mix, shape: Shape, ordered: list[str]) -> str:
    """The matrix with its axes in memory order, in which the program need not name them."""
    name, stored = emitter.raw(number)
    if list(step.axes) == ordered:
        return name
    count = emitter.code.number
    sizes = ", ".join(str(count(dim)) for dim in (*step.to, *(shape.axis(axis) for axis in step.axes)))
    order = [step.axes.index(axis) for axis in ordered]
    order += [len(order) + i for i in order]
    return f"{name}.reshape({sizes}).permute({', '.join(map(str, order))}).reshape({stored[0]}, {stored[1]})"


def _emit_filter(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A sum of shifted slices, of views of the padded value: a convolution of one channel takes 2 to 20 times as long.

    Of few elements it takes half as long for one sample, and for many so little that it makes no difference.
    """
    step, code = node.step, emitter.code
    assert isinstance(step, Filter)
    before, own, after = _parts(node.shape, step.axis)
    form = tuple(dim for dim in (before, own, after) if dim is not ONE)
    reach, behind = step.d * (step.k - 1) // 2, "" if after is ONE else ", :"
    if form == (own,) and code.number(own) <= _FEW:
        spread = f", dilation={step.d}" if step.d > 1 else ""
        image = code.reshape(emitter.reshaped(node.ins[0], form), (ONE, own))
        return f"F.conv1d({image}, {emitter.raw(node.number)[0]}, padding={reach}{spread})", (ONE, own)
    padded = emitter.variable(f"F.pad({emitter.reshaped(node.ins[0], form)}, ({'0, 0, ' * bool(behind)}{reach}, {reach}))")
    weight = emitter.variable(f"{emitter.raw(node.number)[0]}.flatten()")
    size, first = code.size(own), "i" if step.d == 1 else f"{step.d} * i"
    total = emitter.variable(f"{weight}[0] * {padded}[..., :{size}{behind}]")
    slices = f"{padded}[..., {first} : {first} + {size}{behind}]"
    code.add("", f"for i in range(1, {step.k}):\n    {total} = torch.addcmul({total}, {weight}[i], {slices})", "")
    return total, form


OPTIMIZED: dict[str, Emit] = {
    "filter": _emit_filter,
    "fc": _emit_fc,
    "mix": _emit_mix,
    "convolve": emit_convolve,
    "local": emit_local,
    "cover": emit_cover,
    "covered": emit_covered,
}
