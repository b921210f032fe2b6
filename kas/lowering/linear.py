"""Lowering of fc, conv and mix."""

from __future__ import annotations

from kas.language.dims import ONE
from kas.language.primitives._base import channel_side, product
from kas.language.primitives.linear import Conv, Fc, Mix
from kas.lowering._site import Plain, Site
from kas.lowering.code import axis_position, form_of

__all__ = ["PLAIN", "permutation"]


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
    rows = site.code.view(moved, (), (product(rest), old))
    mapped = f"torch.matmul({rows}, {site.weight}.t())"
    new = [(name, dim) for name, dim in zip(step.axes, step.to, strict=True) if dim is not ONE]
    names = [*kept, *(name for name, _ in new)]
    mapped = site.code.view(mapped, (), (*rest, *(dim for _, dim in new)))
    order = [names.index(name) + 1 for name, _ in site.result.axes()]
    assert len(order) == len(form_of(site.result))
    return mapped + permutation([0, *order])


PLAIN: dict[str, Plain] = {"fc": _fc, "conv": _conv, "mix": _mix}
