"""Rules for maps with a weight matrix (lin: fc and conv)."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.arithmetic import multiply, scaled, split
from kas.language.normal.chains import chain
from kas.language.normal.contracted import resized
from kas.language.normal.graph import Graph, Term
from kas.language.normal.layout import Layout, cut, or_full
from kas.language.normal.moves import clear_of_taps

__all__ = [
    "constant_out",
    "lin_chain",
    "lin_diagonal",
    "lin_lin",
    "lin_perm",
    "lin_roll",
    "lin_unf",
    "one_side",
    "weight",
]
from kas.language.normal.texts import attribute_text

Attrs = tuple[Any, ...]


def weight(g: Graph, token: int) -> int:
    """The weight of a scale or bias as an operand."""
    return g.intern("w", (), (), (ONE, ONE), token)


def lin_diagonal(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A map of each channel to itself is a scale over the channels."""
    if attrs[1] is not attrs[2] or attrs[3] is not attrs[2] or attrs[4]:
        return None
    side = attrs[0]
    shape = g.nodes[x >> 1].shape
    return multiply(g, [(1, one_side(side, shape), weight(g, token)), (1, None, x)], shape)


def one_side(side: int, shape: tuple[Dim, Dim]) -> Layout | None:
    """The layout that flags one whole side."""
    one, other = cut([(shape[side], True)]), cut([(shape[1 - side], False)])
    return or_full((one, other) if side == 0 else (other, one))


def lin_unf(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A map of channels and all taps is a convolution."""
    node = g.nodes[x >> 1]
    side, groups, _, to, taps = attrs
    if node.op != "unf" or node.attrs[0] != side or node.attrs[2] is not ONE or taps:
        return None
    size = g.nodes[node.ins[0] >> 1].shape[side]
    if groups is not ONE and (size / groups).fault:
        return None
    return g.make("lin", (side, groups, size, to, node.attrs[1]), node.ins[0], token)


def lin_perm(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """The inputs of a dense map in another order are a view of its weight; a shuffle of the other side commutes."""
    node = g.nodes[x >> 1]
    side, groups, _, _, taps = attrs
    if node.op != "perm":
        return None
    other = node.attrs[0][1 - side]
    if other is not None:
        if taps:
            return None
        moved = (None, other) if side == 0 else (other, None)
        own = node.attrs[0][side]
        rest = node.ins[0] if own is None else g.make("perm", ((own, None) if side == 0 else (None, own),), node.ins[0])
        return g.make("perm", (moved,), g.make("lin", attrs, rest, token))
    if groups is not ONE or token in g.tied:
        return None
    g.bent.add(token)
    return g.make("lin", attrs, node.ins[0], token)


def lin_roll(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A roll along an axis without taps commutes with a map of channels."""
    node = g.nodes[x >> 1]
    side, _, _, to, taps = attrs
    if node.op != "roll" or not clear_of_taps(g, node.attrs[0], side, taps):
        return None
    layout = resized(node.attrs[0], side, to)
    return g.make("roll", (layout, node.attrs[1]), g.make("lin", attrs, node.ins[0], token))


def constant_out(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """What is constant along the mixed channels (a scale or gate over positions) commutes with a map without taps."""
    node = g.nodes[x >> 1]
    side = attrs[0]
    if attrs[4]:
        return None
    constant = [t for t in node.ins if t[1] is not None and not any(flag for _, flag in t[1][side])]
    if not constant or len(constant) == len(node.ins):
        return None
    rest = multiply(g, [term for term in node.ins if term not in constant], node.shape)
    number, inner = split(g, g.make("lin", attrs, rest, token))
    shape = g.shape(inner)
    terms: list[Term] = [(n, or_full(resized(la, side, attrs[3])), e) for n, la, e in constant if la is not None]
    return scaled(g, number, multiply(g, [(1, None, inner), *terms], shape))


def lin_lin(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """Maps of different sides, without taps, commute: they stand in the order of their texts."""
    node = g.nodes[x >> 1]
    if node.attrs[0] == attrs[0] or attrs[4] or node.attrs[4]:
        return None
    if attribute_text(attrs[1:]) >= attribute_text(node.attrs[1:]):
        return None
    return g.make("lin", node.attrs, g.make("lin", attrs, node.ins[0], token), node.token)


def lin_chain(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A map of the rows of a matrix product is one of the rows of its first factor; of the columns, of its last."""
    node = g.nodes[x >> 1]
    if node.op != "mm" or attrs[4]:
        return None
    factors = list(node.ins)
    place = 0 if attrs[0] == 0 else -1
    factors[place] = g.make("lin", attrs, factors[place], token)
    return chain(g, factors)
