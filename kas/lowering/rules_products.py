"""Rules for products of two tensors: what is done to each row or column of a large result is done to a small operand."""

from __future__ import annotations

from dataclasses import replace

from kas.language.primitives.matmul import Matmul
from kas.language.primitives.scaling import Scale
from kas.lowering.graph import Graph, Node

__all__ = ["scale_of_product"]


def scale_of_product(graph: Graph, node: Node) -> Node | None:
    """A scale of the rows, or of the columns, of a product is one of the operand that has them, where that is smaller."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Scale)
    sides = {name[0] for name in step.axes}
    if source.op != "matmul" or source in graph.shared or len(sides) > 1:
        return None
    product = source.step
    assert isinstance(product, Matmul)
    side = int(sides.pop())
    operand, number = source.ins[side], graph.code.number
    if product.softmax or number(operand.shape.product) >= number(node.shape.product):
        return None
    own = 1 - side if product.t[side] else side
    axes = tuple(f"{own}{name[1:]}" for name in step.axes)
    scaled = graph.make("scale", (operand,), operand.shape, replace(step, axes=axes), node.number)
    ins = (scaled, source.ins[1]) if side == 0 else (source.ins[0], scaled)
    return graph.make("matmul", ins, node.shape, product)
