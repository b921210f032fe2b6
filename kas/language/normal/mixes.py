"""Rules for maps over any axes (mix)."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.arithmetic import multiply, scaled, split
from kas.language.normal.graph import Graph, Term
from kas.language.normal.layout import Cut, Layout, cut, or_full, refine

__all__ = ["constant_out", "joined", "mean_mix", "mix_lin", "mix_roll", "mix_unf", "whole_side"]

Attrs = tuple[Any, ...]
Side = tuple[tuple[Dim, "Dim | None"], ...]


def _mixed_side(attrs: Attrs) -> int | None:
    """The one side that a mix works on."""
    sides = [number for number, side in enumerate(attrs[0]) if any(new is not None for _, new in side)]
    return sides[0] if len(sides) == 1 else None


def mix_lin(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A mix of one whole side is a dense map of it."""
    dense = whole_side(attrs[0])
    return None if dense is None else g.make("lin", dense, x, token)


def whole_side(sides: tuple[Side, ...]) -> Attrs | None:
    """The attributes of the dense map that a mix of one whole side is; None if it is another mix."""
    side = _mixed_side((sides,))
    if side is None or len(sides[side]) != 1:
        return None
    size, to = sides[side][0]
    return side, ONE, size, to, ()


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


def _after(g: Graph, layout: Layout, attrs: Attrs) -> Layout | None:
    """A layout of the operand that flags nothing that is mixed, as one of the result; None if it flags some of it."""
    sides: list[Cut] = []
    for own, mixed in zip(layout, attrs[0], strict=True):
        pieces = refine(own, cut((dim, new is not None) for dim, new in mixed), g.known)
        if pieces is None or any(flag and here for _, flag, here in pieces):
            return None
        news = [new for _, new in mixed if new is not None]
        result, inside = [], False
        for dim, flag, here in pieces:
            if not here:
                result.append((dim, flag))
            elif not inside:
                result.append((news.pop(0), False))
            inside = here
        sides.append(cut(result))
    return sides[0], sides[1]


def mix_roll(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A roll of an axis that is not mixed commutes."""
    node = g.nodes[x >> 1]
    layout = _after(g, node.attrs[0], attrs)
    return None if layout is None else g.make("roll", (layout, node.attrs[1]), g.make("mix", attrs, node.ins[0], token))


def constant_out(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A factor that does not vary along the mixed axes commutes with their map."""
    node = g.nodes[x >> 1]
    moved: list[Term] = []
    rest: list[Term] = []
    for number, layout, edge in node.ins:
        after = None if layout is None else _after(g, layout, attrs)
        if after is None:
            rest.append((number, layout, edge))
        else:
            moved.append((number, or_full(after), edge))
    if not moved or not rest:
        return None
    number, inner = split(g, g.make("mix", attrs, multiply(g, rest, node.shape), token))
    return scaled(g, number, multiply(g, [(1, None, inner), *moved], g.shape(inner)))


def mean_mix(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A mean over axes that are not mixed commutes with the map of the others."""
    node = g.nodes[x >> 1]
    folded: list[Cut] = []
    maps: list[Side] = []
    for own, mixed in zip(attrs[0], node.attrs[0], strict=True):
        pieces = refine(own, cut((dim if new is None else new, new is not None) for dim, new in mixed), g.known)
        if pieces is None or len([piece for piece in mixed if piece[1] is not ONE]) != len(mixed):
            return None
        if any(flag and here for _, flag, here in pieces):
            return None
        olds = [piece for piece in mixed if piece[1] is not None]
        before: list[tuple[Dim, bool]] = []
        left: list[tuple[Dim, Dim | None]] = []
        inside = False
        for dim, flag, here in pieces:
            if here and not inside:
                before.append((olds[0][0], False))
                left.append(olds.pop(0))
            elif not here:
                before.append((dim, flag))
                left += [] if flag else [(dim, None)]
            inside = here
        folded.append(cut(before))
        maps.append(joined(left))
    return g.make("mix", (tuple(maps),), g.make("mean", ((folded[0], folded[1]),), node.ins[0]), node.token)


def joined(pieces: list[tuple[Dim, Dim | None]]) -> Side:
    """Neighbours of one kind as one piece."""
    result: list[tuple[Dim, Dim | None]] = []
    for dim, new in pieces:
        if result and (result[-1][1] is None) == (new is None):
            last, before = result[-1]
            result[-1] = (last * dim, None if new is None or before is None else before * new)
        else:
            result.append((dim, new))
    return tuple(result)
