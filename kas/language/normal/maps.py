"""Rules for maps with a weight matrix (lin: fc and conv; mix)."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.arithmetic import multiply, scaled, split
from kas.language.normal.chains import chain, resized
from kas.language.normal.graph import Graph, Term
from kas.language.normal.layout import Layout, cut, or_full
from kas.language.normal.moves import clear_of_taps

__all__ = [
    "constant_out",
    "lin_chain",
    "lin_diagonal",
    "lin_perm",
    "lin_roll",
    "lin_unf",
    "mix_lin",
    "mix_roll",
    "mix_unf",
    "one_side",
    "weight",
]

Attrs = tuple[Any, ...]


def weight(g: Graph, token: int) -> int:
    """The weight of a scale or bias as an operand."""
    return g.intern("w", (), (), (ONE, ONE), token)


def lin_diagonal(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A map of each channel to itself is a scale over the channels."""
    side, groups, size, to, taps = attrs
    if taps or groups is not size or to is not size:
        return None
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


def constant_out(op: str) -> Any:
    """What is constant along the mixed channels (a scale or gate over positions) commutes with a map without taps."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        side = attrs[0] if op == "lin" else _mixed_side(attrs)
        if node.op != "mul" or side is None or (op == "lin" and attrs[4]):
            return None
        constant = [t for t in node.ins if t[1] is not None and not any(flag for _, flag in t[1][side])]
        if not constant or len(constant) == len(node.ins):
            return None
        rest = multiply(g, [term for term in node.ins if term not in constant], node.shape)
        inner = g.make(op, attrs, rest, token)
        to = g.shape(inner)[side]
        number, inner = split(g, inner)
        terms: list[Term] = [(n, or_full(resized(la, side, to)), e) for n, la, e in constant if la is not None]
        shape = g.shape(inner)
        return scaled(g, number, multiply(g, [(1, None, inner), *terms], shape))

    return rule


def lin_chain(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A map of the rows of a matrix product is one of the rows of its first factor; of the columns, of its last."""
    node = g.nodes[x >> 1]
    if node.op != "mm" or attrs[4]:
        return None
    factors = list(node.ins)
    place = 0 if attrs[0] == 0 else -1
    factors[place] = g.make("lin", attrs, factors[place], token)
    return chain(g, factors)


def _mixed_side(attrs: Attrs) -> int | None:
    """The one side that a mix works on."""
    sides = [number for number, side in enumerate(attrs[0]) if any(new is not None for _, new in side)]
    return sides[0] if len(sides) == 1 else None


def mix_lin(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A mix of one whole side is a dense map of it."""
    side = _mixed_side(attrs)
    if side is None or len(attrs[0][side]) != 1:
        return None
    size, to = attrs[0][side][0]
    return g.make("lin", (side, ONE, size, to, ()), x, token)


def mix_unf(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A mix of channels that leaves the taps alone commutes with them."""
    node = g.nodes[x >> 1]
    side = _mixed_side(attrs)
    if node.op != "unf" or side is None or node.attrs[0] != side or node.attrs[2] is not ONE:
        return None
    count = ONE
    for _, k, _ in node.attrs[1]:
        count = count * Dim.of(k)
    *head, (last, new) = attrs[0][side]
    rest = last / count
    if new is not None or rest.fault:
        return None
    own = (*head, (rest, None)) if rest is not ONE else tuple(head)
    sides = (own, attrs[0][1]) if side == 0 else (attrs[0][0], own)
    return g.make("unf", node.attrs, g.make("mix", (sides,), node.ins[0], token))


def mix_roll(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A roll of a side that is not mixed commutes."""
    node = g.nodes[x >> 1]
    side = _mixed_side(attrs)
    if node.op != "roll" or side is None or any(flag for _, flag in node.attrs[0][side]):
        return None
    inner = g.make("mix", attrs, node.ins[0], token)
    return g.make("roll", (resized(node.attrs[0], side, g.shape(inner)[side]), node.attrs[1]), inner)
