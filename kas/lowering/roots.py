"""Which products leave their division by a root to the product that reads them.

A product of kas is divided by the root of what it sums over. In a call of its own that is one more pass over the result, and
on a CPU some 10 microseconds for a small one; a later product takes the factor as one of its arguments. Only what fused
attention makes, and what products with a softmax of scores make, is left undivided: these are means of values, and no larger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from kas.language.dims import ONE
from kas.lowering.graph import Node

__all__ = ["left_to_readers"]

_FUSED = ("attention", "batched attention")  # whose division is a pass of its own
_VIEWS = ("view", "swap", "rows", "image", "channels last", "channels first", "window", "unwindow", "unwindowed", "transpose")


def left_to_readers(nodes: Iterable[Node], sums: Mapping[Node, tuple[Node, ...]]) -> dict[Node, Node]:
    """For each product whose division is left to another one: that one. `sums`: the products that sums write."""
    readers: dict[Node, list[Node]] = defaultdict(list)
    for node in nodes:
        for read in node.ins:
            readers[read].append(node)
    added = {chain[-1] for chain in sums.values()}
    found: dict[Node, Node] = {}
    for node in readers:
        if node in added or not (node.op in _FUSED or _of_softmax(node)):
            continue
        reader = _reader(node, readers)
        if reader is not None and _takes(reader, node.op in _FUSED, reader in added):
            found[node] = reader
    return found


def _of_softmax(node: Node) -> bool:
    """Whether a node is a product of two values, without a softmax, that has a softmax of scores as an operand."""
    return _is_product(node) and not _has_softmax(node) and any(one.op == "softmax" or _has_softmax(one) for one in node.ins)


def _is_product(node: Node) -> bool:
    return node.op in ("matmul", "bmm")


def _has_softmax(node: Node) -> bool:
    return _is_product(node) and bool(getattr(node.step, "softmax", False))


def _reader(node: Node, readers: Mapping[Node, list[Node]]) -> Node | None:
    """The only reader of a node, behind views of it."""
    while len(readers.get(node, ())) == 1:
        (reader,) = readers[node]
        if reader.op not in _VIEWS:
            return reader if reader.ins.count(node) == 1 else None
        node = reader
    return None


def _takes(reader: Node, saves: bool, added: bool) -> bool:
    """Whether a reader has the factor as an argument at no cost.

    `saves`: whether a pass is saved, for which a call may get an argument that it would not have. `added`: whether the reader
    is added to another value.
    """
    if _is_product(reader):
        return True
    if reader.op in ("project", "projects"):
        return saves
    if reader.op == "scale":
        return saves or added
    if reader.op != "convolve":
        return False
    own = reader.convolution
    return own.is_map and reader.shape.second.product is not ONE and (saves or added or bool(own.bias))
