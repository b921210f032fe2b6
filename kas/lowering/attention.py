"""Writing attention: one fused call on rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kas.language.dims import Dim
from kas.language.primitives._base import product
from kas.language.shapes import Shape
from kas.lowering.code import Form, form_of
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node
from kas.lowering.linear import permutation
from kas.lowering.matmul import matrix

__all__ = ["OPTIMIZED", "emit_of_product", "read_whole"]


def _emit_attention(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """softmax(q k' / sqrt(d)) v over the square root of the number of keys, of rows `[N, 1, keys, features]`."""
    return _attention(emitter, node, ", ".join(f"{matrix(emitter, operand, False)}.unsqueeze(1)" for operand in node.ins))


def _attention(emitter: Emitter, node: Node, operands: str) -> tuple[str, Form]:
    root = emitter.divisor(node, emitter.code.root(node.ins[1].shape.first.product))
    call = f"F.scaled_dot_product_attention({operands}).squeeze(1)"
    return f"{call} / {root}" if root else call, (node.shape.first.product, node.shape.second.product)


def _emit_batched(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The same for each index of some axes: of `[N, batch, keys, features]`; the axes then go where the result has them.

    Neither the operands, where they are rows in memory, nor the result are copied to put the batch in its place.
    """
    batch, _, turned = _how(node)
    operands = (_batches(emitter, one, batch, turn) for one, turn in zip(node.ins, turned, strict=True))
    return _batched(emitter, node, ", ".join(operands))


def _how(node: Node) -> tuple[tuple[str, ...], int, tuple[bool, ...]]:
    """The batch, the side of the result that the queries are on, and of which operands the features come first."""
    assert isinstance(node.attributes, tuple)
    batch, side, turned = node.attributes
    assert isinstance(batch, tuple)
    assert isinstance(side, int)
    assert isinstance(turned, tuple)
    return batch, side, turned


def _batched(emitter: Emitter, node: Node, operands: str) -> tuple[str, Form]:
    batch, side, turned = _how(node)
    queries, keys, values = (_own(one.shape, batch, turn) for one, turn in zip(node.ins, turned, strict=True))
    call = f"F.scaled_dot_product_attention({operands})"
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
    return text if node.op in ("rows", "project", "projects", "part", "windowed") else f"{text}.contiguous()"


def read_whole(nodes: Iterable[Node], readers: Mapping[Node, int]) -> dict[Node, Node]:
    """For each fused attention whose queries, keys and values are all parts of one product, in this order: that product."""
    found: dict[Node, Node] = {}
    for node in nodes:
        if node.op not in OPTIMIZED or any(one.op != "part" or readers[one] > 1 for one in node.ins):
            continue
        joint, part = node.ins[0].ins[0], node.ins[0]
        ordered = all(one.ins[0] is joint and one.attributes == (i,) for i, one in enumerate(node.ins))
        three = Dim.of(3) * part.shape.second.product is joint.shape.second.product
        if ordered and three and all(one.shape == part.shape for one in node.ins) and (node.op == "attention" or _even(node)):
            found[node] = joint
    return found


def _even(node: Node) -> bool:
    """Whether the operands of batched attention have one axis of features: side by side they are still parts of one axis."""
    batch, _, turned = _how(node)
    own = [name for name, _ in _own(node.ins[0].shape, batch, False)[1]]
    return not any(turned) and own == ["1.c"] and (batch == ("g",) or "g" not in batch)


def emit_of_product(emitter: Emitter, node: Node, joint: Node) -> tuple[str, Form, list[Node]]:
    """Fused attention of all parts of a product: expression, form, and the nodes that it reads."""
    positions, write = joint.shape.first.product, _attention if node.op == "attention" else _batched
    if node.op == "attention":
        operands = f"{emitter.reshaped(joint, (positions, joint.shape.second.product))}.unsqueeze(1).chunk(3, 3)"
    elif _how(node)[0] == ("g",):
        heads = (dim for _, dim in node.ins[0].shape.second.axes())
        operands = f"{emitter.reshaped(joint, (positions, Dim.of(3), *heads))}.permute(2, 0, 3, 1, 4).unbind()"
    else:
        operands = f"{_batches(emitter, joint, _how(node)[0], False)}.chunk(3, 3)"
    parts = emitter.variable(operands)
    return *write(emitter, node, ", ".join(f"{parts}[{i}]" for i in range(3))), [joint] * len(node.ins)


OPTIMIZED: dict[str, Emit] = {"attention": _emit_attention, "batched attention": _emit_batched}
