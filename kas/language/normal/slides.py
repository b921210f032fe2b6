"""Rules for one filter that slides along an axis (slide). Along the positions of an image it is a mix of their taps instead."""

from __future__ import annotations

from typing import Any

from kas.language.normal.arithmetic import multiply, scaled, split
from kas.language.normal.graph import Graph, Term
from kas.language.normal.layout import drop, overlap

__all__ = ["constant_out", "mean_slide", "slide_perm", "slide_roll"]

Attrs = tuple[Any, ...]


def slide_roll(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A roll of another axis commutes."""
    node = g.nodes[x >> 1]
    if overlap(attrs[0], node.attrs[0], g.known):
        return None
    return g.make("roll", node.attrs, g.make("slide", attrs, node.ins[0], token))


def slide_perm(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A shuffle of the other side commutes."""
    node = g.nodes[x >> 1]
    for side, sizes in zip(attrs[0], node.attrs[0], strict=True):
        if sizes is not None and any(flag for _, flag in side):
            return None
    return g.make("perm", node.attrs, g.make("slide", attrs, node.ins[0], token))


def constant_out(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A factor that does not vary along the axis commutes."""
    node = g.nodes[x >> 1]
    moved: list[Term] = [t for t in node.ins if t[1] is not None and not overlap(t[1], attrs[0], g.known)]
    if not moved or len(moved) == len(node.ins):
        return None
    rest = multiply(g, [term for term in node.ins if term not in moved], node.shape)
    number, inner = split(g, g.make("slide", attrs, rest, token))
    return scaled(g, number, multiply(g, [(1, None, inner), *moved], node.shape))


def mean_slide(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """A mean over other axes commutes with the filter."""
    node = g.nodes[x >> 1]
    layout, k, d = node.attrs
    rest = None if overlap(layout, attrs[0], g.known) else drop(layout, attrs[0], g.known)
    return None if rest is None else g.make("slide", (rest, k, d), g.make("mean", attrs, node.ins[0]), node.token)
