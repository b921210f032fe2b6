"""Rules for attention: a product with a softmax of scores, in either orientation, is one fused call on rows.

The call wants `[keys | features]` with the features side by side in memory. Where an operand has its channels first, the
linear map that makes it writes them last at no cost; anything else is copied, which is little next to the scores.
"""

from __future__ import annotations

from dataclasses import replace

from kas.language.dims import ONE, Dim
from kas.language.primitives.matmul import Matmul
from kas.language.primitives.products import Bmm, contraction
from kas.language.primitives.reductions import Softmax
from kas.language.shapes import Shape
from kas.lowering.graph import Graph, Node

__all__ = ["attention", "batched", "projected"]

_FEATURES = 64  # in a batch, so many features are never too many
_SCORES = 64 * 64  # to so many scores the parts of the fused call are as fast as it is on a CPU, with its operands in any order


def attention(graph: Graph, node: Node) -> Node | None:
    """softmax(q k) v, or its transpose v' softmax(q k)': the scores are never all in memory.

    Features that are more than the keys are left to two products, which are then faster on a CPU.
    """
    step = node.step
    assert isinstance(step, Matmul)
    if step.softmax:
        return None
    for number, wanted in ((0, False), (1, True)):
        scores = _scores(graph, node.ins[number])
        if scores is not None and step.t[number] is wanted:
            assert isinstance(scores.step, Matmul)
            (q, k), (tq, tk) = scores.ins, scores.step.t
            value = node.ins[1 - number]
            rows = (
                _rows(graph, q) if tq else q,
                k if tk else _rows(graph, k),
                # as columns of the left product, or rows of the right one, it has its keys in side 1
                _rows(graph, value) if (step.t[1] if number == 0 else not step.t[0]) else value,
            )
            if not _worthwhile(graph, rows):
                return None
            shape = Shape(rows[0].shape.first, rows[2].shape.second)
            made = graph.make("attention", _together(graph, rows), shape)
            return made if number == 0 else graph.make("swap", (made,), node.shape)
    return None


def batched(graph: Graph, node: Node) -> Node | None:
    """The same for each head, window, row or column; also for few keys, where the rows are parts of one product.

    Operands with their features first are made rows, except of windows, whose taps are behind the features: these are moved
    once, when they are read. The fused call is one call only for values as wide as queries and keys.
    """
    step = node.step
    assert isinstance(step, Bmm)
    if step.softmax:
        return None
    for number in (0, 1):
        scores = _batched_scores(graph, node.ins[number])
        if scores is None or step.t[number] is not bool(number):
            continue
        assert isinstance(scores.step, Bmm)
        if set(scores.step.batch) != set(step.batch):
            continue
        (q, k), (tq, tk) = scores.ins, scores.step.t
        value = node.ins[1 - number]
        turned = (tq, not tk, step.t[1] if number == 0 else not step.t[0])
        parts = contraction(scores.step, q.shape, k.shape), contraction(step, *(one.shape for one in node.ins))
        width, keys = (graph.code.number(parts[i].contracted) for i in (0, 1))
        if (parts[1].columns if number == 0 else parts[1].rows) is not parts[0].contracted or width > max(_FEATURES, keys):
            return None
        last = not {"kh", "kw"} & set(step.batch)  # then the features are the last axes of the side that they are on
        rows = tuple(_rows(graph, one) if turn and last else one for one, turn in zip((q, k, value), turned, strict=True))
        wrong = tuple(turn and not last for turn in turned)
        rows = _together(graph, rows)
        if graph.code.number(parts[0].rows) * keys <= _SCORES and all(row.op != "part" for row in rows):
            return None
        return graph.make("batched attention", rows, node.shape, attributes=(scores.step.batch, number, wrong))
    return None


def _batched_scores(graph: Graph, node: Node) -> Node | None:
    """The product whose softmax a node is, with that softmax; None if it is none, or others read it."""
    if node in graph.shared:
        return None
    if node.op == "softmax" and node.ins[0].op == "bmm" and node.ins[0] not in graph.shared:
        inner = node.ins[0]
        assert isinstance(node.step, Softmax)
        assert isinstance(inner.step, Bmm)
        parts = contraction(inner.step, *(one.shape for one in inner.ins))
        whole = tuple(f"1.{name}" for name in parts.kept_r)
        return inner if node.step.axes == whole and not inner.step.softmax else None
    return node if node.op == "bmm" and isinstance(node.step, Bmm) and node.step.softmax else None


def _scores(graph: Graph, node: Node) -> Node | None:
    """The product whose softmax over its last side a node is, with that softmax; None if it is none, or others read it."""
    if node in graph.shared:
        return None
    if node.op == "softmax" and node.ins[0].op == "matmul" and node.ins[0] not in graph.shared:
        inner = node.ins[0]
        assert isinstance(node.step, Softmax)
        assert isinstance(inner.step, Matmul)
        whole = tuple(f"1.{name}" for name, _ in inner.shape.second.axes())
        return inner if node.step.axes == whole and not inner.step.softmax else None
    if node.op == "matmul" and isinstance(node.step, Matmul) and node.step.softmax:
        return node
    return None


def _together(graph: Graph, rows: tuple[Node, ...]) -> tuple[Node, ...]:
    """Those of the operands that are linear maps of one tensor to equal widths, as the parts of one product.

    Not where they are wider than there are positions: putting the weights together takes longer than it saves then.
    """
    for base in dict.fromkeys(row.ins[0] for row in rows if row.op == "project"):
        mapped = [row for row in dict.fromkeys(rows) if row.op == "project" and row.ins[0] is base]
        width, count = mapped[0].convolution.out, Dim.of(len(mapped))
        wide = graph.code.number(width) > graph.code.number(base.shape.second.product)
        if wide or count is ONE or any(row.convolution.out is not width for row in mapped):
            continue
        numbers = tuple(row.convolution.weight.number for row in mapped)
        whole = mapped[0].shape.with_side(1, mapped[0].shape.second.with_axes(g=ONE, c=count * width))
        joint = graph.make("projects", (base,), whole, attributes=(width, *numbers))
        parts = {row: graph.make("part", (joint,), row.shape, attributes=(i,)) for i, row in enumerate(mapped)}
        rows = tuple(parts.get(row, row) for row in rows)
    return rows


def _worthwhile(graph: Graph, rows: tuple[Node, ...]) -> bool:
    queries, features = (graph.code.number(side.product) for side in rows[0].shape)
    keys = graph.code.number(rows[1].shape.first.product)
    return queries * keys > _SCORES and max(features, graph.code.number(rows[2].shape.second.product)) <= keys


def _rows(graph: Graph, node: Node) -> Node:
    """A node with its sides swapped, in that order in memory."""
    return graph.make("rows", (node,), Shape(node.shape.second, node.shape.first))


def projected(graph: Graph, node: Node) -> Node | None:
    """A linear map of channels that is read as rows only writes rows."""
    source = node.ins[0]
    while source.op == "view" and source not in graph.shared:
        source = source.ins[0]
    if source.op != "convolve" or source in graph.shared or source.convolution.bias:
        return None
    convolution = source.convolution
    if convolution.window.taps > 1 or convolution.groups is not ONE or convolution.weight.kind != "parameter":
        return None
    return graph.make("project", source.ins, node.shape, attributes=replace(convolution))
