"""Writing attention: one fused call on rows."""

from __future__ import annotations

from kas.language.dims import Dim
from kas.language.primitives._base import product
from kas.language.shapes import Shape
from kas.lowering.code import Form, form_of
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node
from kas.lowering.linear import permutation
from kas.lowering.matmul import matrix

__all__ = ["OPTIMIZED"]


def _emit_attention(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """softmax(q k' / sqrt(d)) v over the square root of the number of keys, of rows `[N, 1, keys, features]`."""
    operands = ", ".join(f"{matrix(emitter, operand, False)}.unsqueeze(1)" for operand in node.ins)
    root = emitter.divisor(node, emitter.code.root(node.ins[1].shape.first.product))
    call = f"F.scaled_dot_product_attention({operands}).squeeze(1)"
    return f"{call} / {root}" if root else call, (node.shape.first.product, node.shape.second.product)


def _emit_batched(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The same for each index of some axes: of `[N, batch, keys, features]`; the axes then go where the result has them.

    Neither the operands, where they are rows in memory, nor the result are copied to put the batch in its place.
    """
    assert isinstance(node.attributes, tuple)
    batch, side, turned = node.attributes
    assert isinstance(batch, tuple)
    assert isinstance(side, int)
    assert isinstance(turned, tuple)
    operands = list(zip(node.ins, turned, strict=True))
    queries, keys, values = (_own(operand.shape, batch, turn) for operand, turn in operands)
    call = f"F.scaled_dot_product_attention({', '.join(_batches(emitter, one, batch, turn) for one, turn in operands)})"
    root = emitter.divisor(node, emitter.code.root(product(dim for _, dim in keys[0])))
    call = f"({call} / {root})" if root else call
    shape = node.shape
    made = [next(name for name, _ in shape.axes() if name[2:] == axis) for axis in batch]
    made += [f"{side}.{name[2:]}" for name, _ in queries[0]] + [f"{1 - side}.{name[2:]}" for name, _ in values[1]]
    wanted = [name for name, _ in shape.axes()]
    spread = emitter.code.reshape(call, tuple(shape.axis(name) for name in made))
    return spread + permutation([0, *(1 + made.index(name) for name in wanted)]), form_of(shape)


Axes = list[tuple[str, Dim]]


def _own(shape: Shape, batch: tuple[object, ...], turned: bool) -> tuple[Axes, Axes]:
    """The axes of keys and of features that are not in the batch; the features are on the second side unless `turned`."""
    own = [(name, dim) for name, dim in shape.axes() if name[2:] not in batch]
    first, second = ([axis for axis in own if axis[0][0] == side] for side in "01")
    return (second, first) if turned else (first, second)


def _batches(emitter: Emitter, node: Node, batch: tuple[object, ...], turned: bool) -> str:
    """An operand as `[N, batch, keys, features]`, its features side by side in memory."""
    own = list(node.shape.axes())
    first, second = _own(node.shape, batch, turned)
    head = [next((name, dim) for name, dim in own if name[2:] == axis) for axis in batch]
    order = [*head, *first, *second]
    moved = emitter.axes(node) + permutation([0, *(1 + own.index(axis) for axis in order)])
    form = (product(dim for _, dim in head), product(dim for _, dim in first), product(dim for _, dim in second))
    text = emitter.code.view(moved, tuple(dim for _, dim in order), form)
    return text if node.op in ("rows", "project", "part", "windowed") else f"{text}.contiguous()"


OPTIMIZED: dict[str, Emit] = {"attention": _emit_attention, "batched attention": _emit_batched}
