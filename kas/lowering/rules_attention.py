"""Rules for attention: a product with a softmax of scores, in either orientation, is one fused call on rows.

The call wants `[keys | features]` with the features side by side in memory. Where an operand has its channels first, the
linear map that makes it writes them last at no cost; anything else is copied, which is little next to the scores.
"""

from __future__ import annotations

from kas.language.primitives.matmul import Matmul
from kas.language.primitives.products import Bmm, contraction
from kas.language.primitives.reductions import Softmax
from kas.language.shapes import Shape
from kas.lowering.graph import Graph, Node
from kas.lowering.rules_rows import related, rows

__all__ = ["attention", "batched"]

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
            operands = (
                rows(graph, q) if tq else q,
                k if tk else rows(graph, k),
                # as columns of the left product, or rows of the right one, it has its keys in side 1
                rows(graph, value) if (step.t[1] if number == 0 else not step.t[0]) else value,
            )
            if not _worthwhile(graph, operands):
                return None
            shape = Shape(operands[0].shape.first, operands[2].shape.second)
            made = graph.make("attention", operands, shape)
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
        read = zip((q, k, value), turned, strict=True)
        operands = tuple(_read(graph, one, step.batch) if turn else one for one, turn in read)
        wrong = tuple(turn and made is one for one, made, turn in zip((q, k, value), operands, turned, strict=True))
        if graph.code.number(parts[0].rows) * keys <= _SCORES and not related(graph, operands):
            return None
        return graph.make("batched attention", operands, node.shape, attributes=(scores.step.batch, number, wrong))
    return None


def _read(graph: Graph, node: Node, batch: tuple[str, ...]) -> Node:
    """A node as rows; as it is, where its taps are behind the features and no map writes it as rows."""
    made = rows(graph, node)
    return node if made.op == "rows" and {"kh", "kw"} & set(batch) else made


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


def _worthwhile(graph: Graph, operands: tuple[Node, ...]) -> bool:
    queries, features = (graph.code.number(side.product) for side in operands[0].shape)
    keys = graph.code.number(operands[1].shape.first.product)
    return queries * keys > _SCORES and max(features, graph.code.number(operands[2].shape.second.product)) <= keys
