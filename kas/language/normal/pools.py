"""Rules for folds over taps: average and maximum pooling."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.graph import Graph, Node
from kas.language.normal.layout import Layout, cut

__all__ = ["lin_out", "pooled", "unf_fold"]

Attrs = tuple[Any, ...]


def pooled(g: Graph, attrs: Attrs, x: int) -> Node | None:
    """The node of the taps that a fold of `x` is over, all of them and nothing else."""
    node = g.nodes[x >> 1]
    if x & 1 or node.op != "unf" or node.attrs[2] is not ONE:
        return None
    below = g.nodes[node.ins[0] >> 1].shape
    return node if attrs[0] == _taps_of(below, node.shape, node.attrs[0]) else None


def _taps_of(below: tuple[Dim, Dim], shape: tuple[Dim, Dim], side: int) -> Layout:
    sides = [cut([(dim, False)]) for dim in shape]
    sides[side] = cut([(below[side], False), (shape[side] / below[side], True)])
    return sides[0], sides[1]


def lin_out(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The mean over taps of a map of channels is the map of the mean over taps."""
    node = pooled(g, attrs, x)
    below = None if node is None else g.nodes[node.ins[0] >> 1]
    if node is None or below is None or below.op != "lin" or below.attrs[0] != node.attrs[0] or below.attrs[4]:
        return None
    taps = g.make("unf", node.attrs, below.ins[0] ^ (node.ins[0] & 1))
    fold = _taps_of(g.shape(below.ins[0]), g.shape(taps), node.attrs[0])
    return g.make("lin", below.attrs, g.make("mean", (fold,), taps), below.token)


def unf_fold(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A fold over the taps of one axis, then over those of another, is the fold over the taps of both."""
    fold = g.nodes[x >> 1]
    node = pooled(g, fold.attrs, fold.ins[0])
    side, taps, suffix = attrs
    if node is None or node.attrs[0] != side or suffix is not ONE or len(taps) > 1 or len(node.attrs[1]) > 1:
        return None
    (where, k, _), (other, other_k, _) = taps[0], node.attrs[1][0]
    if where == other:
        return None
    before = where[0][1]  # taps of the first axis stand before those of the second
    joint = g.make("unf", (side, taps, Dim.of(other_k) if before else ONE), fold.ins[0])
    pieces = [(Dim.of(k), False), (Dim.of(other_k), True)]
    sides = [cut([(dim, False)]) for dim in g.shape(joint)]
    sides[side] = cut([(g.shape(node.ins[0])[side], False), *(pieces if before else reversed(pieces))])
    return g.make(fold.op, ((sides[0], sides[1]),), joint)
