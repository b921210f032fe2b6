"""Rules for rearrangements (roll, perm, unf): they cancel, add up, keep one order, and come out of what they commute with.

Every rule reads `(graph, attrs, x, token)` and returns the edge of an equal tensor, or None where it does not apply. It moves a
rearrangement outwards, or removes a node, so rewriting ends.
"""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.arithmetic import scaled, split, tap_cut
from kas.language.normal.graph import Graph
from kas.language.normal.layout import Layout, cut, overlap, refine
from kas.language.normal.shuffles import through_perm
from kas.language.normal.texts import attribute_text

__all__ = [
    "POINTWISE",
    "before_taps",
    "clear_of_taps",
    "linear_number",
    "perm_empty",
    "perm_out",
    "perm_perm",
    "roll_out",
    "roll_perm",
    "roll_roll",
    "roll_unf",
    "unf_out",
    "unf_perm",
    "unf_unf",
]

Attrs = tuple[Any, ...]
POINTWISE = ("gelu", "relu", "sigmoid", "tanh", "abs", "exp", "sin", "sqrt", "recip")


def linear_number(op: str) -> Any:
    """f(q x) = q f(x): numbers are pulled out of linear maps."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        if g.nodes[x >> 1].op != "add":
            return None
        number, inner = split(g, x)
        return None if number == 1 else scaled(g, number, g.make(op, attrs, inner, token))

    return rule


def roll_roll(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """Rolls along one axis add up; along different axes they commute, and stand in the order of their texts."""
    node = g.nodes[x >> 1]
    if node.op != "roll":
        return None
    layout, by = attrs
    if node.attrs[0] == layout:
        total = by + node.attrs[1]
        return g.make("roll", (layout, total), node.ins[0]) if total else int(node.ins[0])
    if attribute_text(attrs) < attribute_text(node.attrs) and not overlap(layout, node.attrs[0], g.known):
        return g.make("roll", node.attrs, g.make("roll", attrs, node.ins[0]))
    return None


def roll_unf(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A roll along an axis that has no taps commutes with the taps."""
    node = g.nodes[x >> 1]
    if node.op != "unf" or not clear_of_taps(g, attrs[0], node.attrs[0], node.attrs[1]):
        return None
    return g.make("unf", node.attrs, g.make("roll", attrs, node.ins[0]))


def clear_of_taps(g: Graph, layout: Layout, side: int, taps: tuple[Any, ...]) -> bool:
    """Whether a layout flags only the side of positions, and no axis with taps."""
    if any(flag for _, flag in layout[side]):
        return False
    for where, _, _ in taps:
        pieces = refine(layout[1 - side], where, g.known)
        if pieces is None or any(one and two for _, one, two in pieces):
            return False
    return True


def roll_perm(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A roll of one side commutes with a shuffle of the other."""
    node = g.nodes[x >> 1]
    if node.op != "perm":
        return None
    for side, sizes in zip(attrs[0], node.attrs[0], strict=True):
        if sizes is not None and any(flag for _, flag in side):
            return None
    return g.make("perm", node.attrs, g.make("roll", attrs, node.ins[0]))


def perm_empty(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A shuffle of an axis with an empty one does nothing."""
    sides = tuple(None if s is None or s[0] is ONE or s[1] is ONE else s for s in attrs[0])
    if sides == (None, None):
        return x
    return None if sides == attrs[0] else g.make("perm", (sides,), x)


def perm_perm(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A shuffle and its inverse cancel; shuffles of both sides are one node."""
    node = g.nodes[x >> 1]
    if node.op != "perm":
        return None
    sides: list[Any] = []
    for outer, inner in zip(attrs[0], node.attrs[0], strict=True):
        if outer is not None and inner is not None:
            if outer != (inner[1], inner[0], inner[2]):
                return None
            sides.append(None)
        else:
            sides.append(inner if outer is None else outer)
    return g.make("perm", (tuple(sides),), node.ins[0])


def unf_unf(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """Taps over h then w, or w then h, are taps over both."""
    node = g.nodes[x >> 1]
    side, taps, suffix = attrs
    if node.op != "unf" or node.attrs[0] != side or node.attrs[2] is not ONE:
        return None
    count = ONE
    for _, k, _ in node.attrs[1]:
        count = count * Dim.of(k)
    if suffix is ONE:
        return g.make("unf", (side, node.attrs[1] + taps, ONE), node.ins[0])
    return g.make("unf", (side, taps + node.attrs[1], ONE), node.ins[0]) if suffix is count else None


def unf_perm(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A channel shuffle commutes with taps."""
    node = g.nodes[x >> 1]
    side, taps, suffix = attrs
    if node.op != "perm" or node.attrs[0][1 - side] is not None or node.attrs[0][side] is None:
        return None
    a, b, post = node.attrs[0][side]
    if suffix is not ONE and suffix is not post:
        return None
    for _, k, _ in taps:
        post = post * Dim.of(k)
    moved = (a, b, post)
    return g.make("perm", ((moved, None) if side == 0 else (None, moved),), g.make("unf", attrs, node.ins[0]))


def roll_out(op: str) -> Any:
    """What treats all places along an axis alike commutes with a roll along it."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        if node.op != "roll":
            return None
        for side, rolled in zip(attrs[0], node.attrs[0], strict=True):
            pieces = refine(side, rolled, g.known)
            if pieces is None or len({flag for _, flag, here in pieces if here}) > 1:
                return None
        return g.make("roll", node.attrs, g.make(op, attrs, node.ins[0]))

    return rule


def perm_out(op: str) -> Any:
    """What treats all places along two axes alike commutes with a shuffle of them."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        layout = through_perm(attrs[0], node.attrs[0], g.known) if node.op == "perm" else None
        return None if layout is None else g.make("perm", node.attrs, g.make(op, (layout,), node.ins[0]))

    return rule


def unf_out(op: str) -> Any:
    """What works on channels alone and keeps zero commutes with zero-padded taps."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        layout = before_taps(g, attrs[0], node.attrs) if node.op == "unf" else None
        return None if layout is None else g.make("unf", node.attrs, g.make(op, (layout,), node.ins[0]))

    return rule


def before_taps(g: Graph, layout: Layout, attrs: Attrs) -> Layout | None:
    """A layout that flags channels alone, as it is before the taps; None if it flags taps or positions."""
    side, taps, suffix = attrs
    if suffix is not ONE or any(flag for _, flag in layout[1 - side]):
        return None
    product = ONE
    for dim, _ in layout[side]:
        product = product * dim
    pieces = refine(layout[side], tap_cut(product, taps, suffix), g.known)
    if pieces is None or any(flag and tap for _, flag, tap in pieces):
        return None
    rest = cut((dim, flag) for dim, flag, tap in pieces if not tap)
    return (rest, layout[1]) if side == 0 else (layout[0], rest)
