"""Rules by which more than products are made as rows: normalisations of channels, windows put back together."""

from __future__ import annotations

from kas.language.primitives.reductions import Normalize
from kas.language.shapes import Shape
from kas.lowering.graph import Graph, Node
from kas.lowering.rules_rows import done_to_rows, is_image

__all__ = ["standardized", "unwindowed"]

_POSITIONS = 64  # with fewer, a map that writes rows takes longer than one call for their normalisation saves


def standardized(graph: Graph, node: Node) -> Node | None:
    """The channels of a map, standardised for each position: of rows that is one call, of which the map writes them."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Normalize)
    channels = tuple(f"0.{name}" for name, _ in node.shape.first.axes())
    if (
        step.how != "standard"
        or step.axes != channels
        or not is_image(node)
        or source.op != "convolve"
        or source in graph.shared
    ):
        return None
    if graph.code.number(node.shape.second.product) < _POSITIONS:
        return None
    made = done_to_rows(graph, node, Shape(node.shape.second, node.shape.first))
    return None if made is None else graph.make("swap", (made,), node.shape)


def unwindowed(graph: Graph, node: Node) -> Node | None:
    """Windows of what fused attention makes, put back as rows, which it makes: its channels are last in memory."""
    source = node.ins[0]
    left = {"kh", "kw"} & {name for name, _ in node.shape.first.axes()}
    if source.op != "batched attention" or source in graph.shared or left:
        return None
    made = graph.make("unwindowed", (source,), Shape(node.shape.second, node.shape.first), node.step)
    return graph.make("swap", (made,), node.shape)
