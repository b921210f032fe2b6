"""Which images are kept as matrices `[channels | positions]`: those that more readers want so than as they are.

Each reader would else write its own view of the image; on a CPU a view takes a microsecond, and a small product some twenty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from kas.language.dims import ONE
from kas.lowering.code import Form
from kas.lowering.graph import Node
from kas.lowering.pointwise import EXPRESSIONS

__all__ = ["kept_as_matrices"]

_OF_MATRICES = ("project", "projects", "matmul", "attention", "gram scores", "factored scores")
_ANY_FORM = (*EXPRESSIONS, "scale", "bias", "affine", "add", "sub", "mul", "div", "max", "min")


def kept_as_matrices(nodes: Iterable[Node], sums: Mapping[Node, tuple[Node, ...]]) -> dict[Node, Form]:
    """The values to keep as matrices, and their forms then. `sums`: the products that sums write."""
    saved: Counter[Node] = Counter()
    for node in nodes:
        if node in sums:
            chain = sums[node]
            if chain[-1].op in ("matmul", "convolve"):
                saved.update(read for read in node.ins if read is not chain[0])
        elif node.op in _OF_MATRICES or (node.op == "convolve" and node.convolution.is_map and _has_positions(node)):
            saved.update(node.ins)
        elif node.op == "chosen":
            saved.update(node.ins[1:])
        elif node.op not in _ANY_FORM:
            saved.subtract(node.ins)
    return {node: (node.shape.first.product, node.shape.second.product) for node, views in saved.items() if views > 1}


def _has_positions(node: Node) -> bool:
    return node.shape.second.product is not ONE
