"""Lowering of matmul."""

from __future__ import annotations

from kas.language.dims import Dim
from kas.language.primitives.matmul import Matmul
from kas.language.shapes import Shape
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node

__all__ = ["OPTIMIZED", "PLAIN"]


def _operand(site: Site, number: int, transposed: bool) -> str:
    """An input as a matrix `[N, rows, columns]`."""
    shape: Shape = site.shapes[number]
    matrix = site.input(number, (shape.first.product, shape.second.product))
    return f"{matrix}.transpose(1, 2)" if transposed else matrix


def _matmul(site: Site) -> str:
    step = site.step
    assert isinstance(step, Matmul)
    left, right = _operand(site, 0, step.t[0]), _operand(site, 1, step.t[1])
    over = site.shapes[0].sides[0 if step.t[0] else 1].product
    root = site.code.root(over)
    result = f"torch.bmm({left}, {right})" + (f" / {root}" if root else "")
    if step.softmax:
        result = f"torch.softmax({result}, 2)"
    elif root:
        result = f"({result})"
    return site.output(result, (site.result.first.product, site.result.second.product))


PLAIN: dict[str, Plain] = {"matmul": _matmul}


def _matrix(emitter: Emitter, node: Node, transposed: bool) -> str:
    """A node as a matrix `[N, rows, columns]`."""
    matrix = emitter.reshaped(node, (node.shape.first.product, node.shape.second.product))
    return f"{matrix}.transpose(1, 2)" if transposed else matrix


def _emit_matmul(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The product; the smallest of operands and result is divided by the root."""
    step = node.step
    assert isinstance(step, Matmul)
    operands = [_matrix(emitter, operand, t) for operand, t in zip(node.ins, step.t, strict=True)]
    root = emitter.code.root(node.ins[0].shape.sides[0 if step.t[0] else 1].product)
    after = f" / {root}" if root else ""
    sizes = [emitter.code.number(operand.shape.product) for operand in node.ins]
    if after and min(sizes) < emitter.code.number(node.shape.product):
        operands[sizes.index(min(sizes))] += after
        after = ""
    result = f"torch.bmm({operands[0]}, {operands[1]}){after}"
    return f"torch.softmax({result}, 2)" if step.softmax else result, _result_form(node)


def _result_form(node: Node) -> Form:
    return (node.shape.first.product, node.shape.second.product)


def _emit_attention(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """softmax(q k' / sqrt(d)) v over the square root of the number of keys, of rows `[N, 1, keys, features]`."""
    operands = ", ".join(f"{_matrix(emitter, operand, False)}.unsqueeze(1)" for operand in node.ins)
    root = emitter.code.root(node.ins[1].shape.first.product)
    call = f"F.scaled_dot_product_attention({operands}).squeeze(1)"
    return f"{call} / {root}" if root else call, _result_form(node)


def _emit_rows(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A matrix with its sides swapped in memory."""
    return f"{_matrix(emitter, node.ins[0], True)}.contiguous()", _result_form(node)


def _emit_swap(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A matrix with its sides swapped, the memory as it is."""
    return _matrix(emitter, node.ins[0], True), _result_form(node)


def _emit_project(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A linear map of the channels of an image, as rows `[N, positions, channels]`."""
    conv, base = node.convolution, node.ins[0]
    inner = base.shape.first.product
    weight = emitter.parameter(conv.weight.number, (emitter.code.number(conv.out), emitter.code.number(inner)))
    emitter.code.names.add("n")
    image = emitter.reshaped(base, (inner, base.shape.second.product))
    return f"torch.bmm({image}.transpose(1, 2), {weight}.t().expand(n, -1, -1))", _result_form(node)


def _emit_projects(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Several linear maps of the channels of an image to equal widths, side by side, as rows `[N, positions, all widths]`."""
    assert isinstance(node.attributes, tuple)
    width, *numbers = node.attributes
    assert isinstance(width, Dim)
    base, positions = node.ins[0], node.ins[0].shape.second.product
    inner = base.shape.first.product
    sizes = (emitter.code.number(width), emitter.code.number(inner))
    weights = ", ".join(emitter.parameter(number, sizes) for number in numbers if isinstance(number, int))
    emitter.code.names.add("n")
    image = emitter.reshaped(base, (inner, positions))
    product = f"torch.bmm({image}.transpose(1, 2), torch.cat([{weights}]).t().expand(n, -1, -1))"
    return product, (positions, Dim.of(len(numbers)) * width)


def _emit_part(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """One of them, in the memory of all."""
    assert isinstance(node.attributes, tuple)
    joint = node.ins[0]
    assert isinstance(joint.attributes, tuple)
    (i,), width = node.attributes, joint.attributes[0]
    assert isinstance(i, int)
    assert isinstance(width, Dim)
    value, size = emitter.values[joint], emitter.code.number(width)
    return f"{value.name}.narrow(2, {i * size if i else 0}, {size})", (value.form[0], width)


OPTIMIZED: dict[str, Emit] = {
    "projects": _emit_projects,
    "part": _emit_part,
    "matmul": _emit_matmul,
    "attention": _emit_attention,
    "rows": _emit_rows,
    "swap": _emit_swap,
    "project": _emit_project,
}
