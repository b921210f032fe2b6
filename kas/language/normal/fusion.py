"""The form that a kernel fuses to for inference: what `Kernel.family` is taken over.

Passes over the normal form, in canonical order, until nothing changes; every merge removes a node. A weight stands for any
weight here: numbers next to it, ties and ranks do not matter. What merges (tensors in between must have one reader):

    map of map                    one map, of the coarser groups; dense where a shuffle or a mix stands between
    scale of map, map of scale    the map
    map of a mean of channels     the map of them all (so the mean of the taps, then fc, is a convolution)
    map of bias, scale of bias    a bias of the map, of the scale
    bias and bias, scale and scale    one, over the axes of both
    maps of one tensor, added     one map with the larger kernel; the tensor itself, scales of its channels and
                                  means over taps are part of it

A convolution of a convolution stays as it is: with zero padding it is no convolution at the border.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.absorb import BELOW, confined
from kas.language.normal.arithmetic import add, extreme, multiply, split
from kas.language.normal.chains import chain
from kas.language.normal.form import Form, operands
from kas.language.normal.graph import SETS, Graph, Node, Term, flip_attrs, flip_terms
from kas.language.normal.layout import Layout, cut, flip, or_full, union
from kas.language.normal.order import Walk, canonical_order
from kas.language.normal.rules import RULES

__all__ = ["fused_text"]

_MOST_PASSES = 12
Attrs = tuple[Any, ...]


def fused_text(form: Form) -> str:
    """The canonical text of the fused form."""
    text, walk = canonical_order(form.graph, form.output)
    for _ in range(_MOST_PASSES):
        form = Pass(form, walk).form
        before, (text, walk) = text, canonical_order(form.graph, form.output)
        if text == before:
            break
    return text


class Pass:
    """One rebuild of a graph with merges. `readers` counts the readers of each new node."""

    def __init__(self, source: Form, walk: Walk):
        self.source, self.walk = source.graph, walk
        self.graph = Graph(source.graph.known, frozenset(), RULES)
        self.uses: dict[int, int] = defaultdict(int, {source.output >> 1: 1})
        for number in walk.seen:
            for edge in operands(self.source, number):
                self.uses[edge >> 1] += 1
        self.readers: dict[int, int] = defaultdict(int)
        self.edges: dict[int, int] = {}
        self.form = Form(self.graph, self.edge(source.output))

    def edge(self, edge: int) -> int:
        number = edge >> 1
        if number not in self.edges:
            self.edges[number] = built = self.build(self.source.nodes[number])
            self.readers[built >> 1] += self.uses[number]
        return self.edges[number] ^ (edge & 1)

    def alone(self, edge: int) -> bool:
        """Whether nothing but the node that is being built reads a tensor."""
        return self.readers[edge >> 1] <= 1

    def build(self, node: Node) -> int:
        token = self.walk.weights[node.token] + 1 if node.token else 0
        if node.op in SETS:
            order = sorted(node.ins, key=lambda term: (self.walk.seen[term[2] >> 1], term[2] & 1, str(term[:2])))
            terms = [(n, layout, self.edge(edge)) for n, layout, edge in order]
            if node.op == "add":
                return self.add(terms, node.shape)
            return self.mul(terms, node.shape) if node.op == "mul" else extreme(self.graph, node.op, terms, node.shape)
        if node.op in ("in", "w"):
            return self.graph.intern(node.op, (), (), node.shape, token)
        edges = [self.edge(edge) for edge in node.ins]
        if node.op == "mm":
            return chain(self.graph, edges)
        if node.op == "fixed":
            return self.graph.intern("fixed", node.attrs, tuple(edges), node.shape)
        return (
            self.lin(node.attrs, edges[0], token) if node.op == "lin" else self.graph.make(node.op, node.attrs, edges[0], token)
        )

    def lin(self, attrs: Attrs, x: int, token: int) -> int:
        """A map with all that merges with it from below."""
        x = split(self.graph, x)[1]
        if x & 1:
            return self.lin(flip_attrs("lin", attrs), x ^ 1, token) ^ 1
        node = self.graph.nodes[x >> 1]
        merged = BELOW[node.op](self, attrs, x, token) if node.op in BELOW else None
        return self.graph.make("lin", attrs, x, token) if merged is None else merged

    def mul(self, terms: list[Term], shape: tuple[Dim, Dim]) -> int:
        """A product with one scale, which goes into a map or past a bias."""
        scale, rest = self.weights(terms, shape)
        if scale is None or not rest:
            return multiply(self.graph, terms, shape)
        for number, layout, edge in rest:
            if layout is not None or number != 1:
                continue
            node = self.graph.nodes[edge >> 1]
            seen = flip(scale[1]) if edge & 1 else scale[1]
            if node.op == "lin" and self.alone(edge) and seen is not None and confined(seen, node.attrs[0]):
                return multiply(self.graph, rest, shape)
            if node.op == "add" and len(rest) == 1 and self.alone(edge):
                inner = flip_terms(node.ins) if edge & 1 else node.ins
                bias, others = self.weights(list(inner), shape)
                over = None if bias is None else self.joined(bias[1], scale[1], shape)
                if bias is not None and others and over is not None:
                    below = add(self.graph, others, shape)
                    scaled_below = self.mul([scale, (1, None, below)], shape)
                    return self.add([(1, None, scaled_below), (1, over[0], bias[2])], shape)
        return multiply(self.graph, [scale, *rest], shape)

    def joined(self, a: Layout | None, b: Layout | None, shape: tuple[Dim, Dim]) -> tuple[Layout | None] | None:
        """The layout of what varies with either, in a tuple; None if the cuts do not fit."""
        if a is None or b is None:
            return (None,)
        both = union(a, b, self.graph.known)
        return None if both is None else (or_full(both),)

    def weights(self, terms: list[Term], shape: tuple[Dim, Dim]) -> tuple[Term | None, list[Term]]:
        """All scales (or biases) among terms as one, and the other terms."""
        one: Term | None = None
        rest: list[Term] = []
        for number, layout, edge in terms:
            if self.graph.nodes[edge >> 1].op != "w":
                rest.append((number, layout, edge))
                continue
            over = (layout,) if one is None else self.joined(one[1], layout, shape)
            if over is None:
                rest.append((number, layout, edge))
            else:
                one = (1, over[0], edge if one is None else one[2])
        return one, rest

    def add(self, terms: list[Term], shape: tuple[Dim, Dim]) -> int:
        """A sum with one bias, and one map for all maps of one tensor."""
        bias, rest = self.weights(terms, shape)
        maps: dict[tuple[int, int], list[tuple[Attrs, int, Term]]] = defaultdict(list)
        for term in rest:
            node = self.graph.nodes[term[2] >> 1]
            if node.op == "lin" and term[1] is None and self.alone(term[2]):
                attrs = flip_attrs("lin", node.attrs) if term[2] & 1 else node.attrs
                maps[(node.ins[0] ^ (term[2] & 1), attrs[0])].append((attrs, node.token, term))
        for (base, side), members in maps.items():
            rest = self.one_map(base, side, members, rest)
        return add(self.graph, ([bias] if bias is not None else []) + self.one_scale(rest), shape)

    def one_map(self, base: int, side: int, members: list[tuple[Attrs, int, Term]], terms: list[Term]) -> list[Term]:
        """The terms with the maps of `base` merged, and `base` and its scales in them."""
        attrs, token, _ = members[0]
        gone = [members[0][2]]
        for other, other_token, term in members[1:]:
            taps = _joint_taps(attrs[4], other[4])
            if taps is not None:
                attrs = (side, self.coarser(attrs[1], other[1]), attrs[2], attrs[3], taps)
                token = min(token, other_token)
                gone.append(term)
        if attrs[2] is attrs[3]:
            for term in terms:
                pool = self.pool(term[2], base, side) if term[1] is None else None
                taps = None if pool is None else _joint_taps(attrs[4], pool)
                if taps is not None:
                    attrs = (*attrs[:4], taps)
                    gone.append(term)
            gone += [term for term in terms if term[1] is None and self.diagonal(term[2], base, side)]
        if len(gone) == 1:
            return terms
        return [(1, None, self.lin(attrs, base, token)), *(term for term in terms if term not in gone)]

    def diagonal(self, edge: int, base: int, side: int) -> bool:
        """Whether a tensor is `base` or a scale of its channels."""
        if edge == base:
            return True
        node = self.graph.nodes[edge >> 1]
        if node.op != "mul" or not self.alone(edge):
            return False
        terms = flip_terms(node.ins) if edge & 1 else node.ins
        scales = [layout for _, layout, e in terms if self.graph.nodes[e >> 1].op == "w"]
        others = [term for term in terms if self.graph.nodes[term[2] >> 1].op != "w"]
        return others == [(1, None, base)] and all(la is not None and confined(la, side) for la in scales)

    def pool(self, edge: int, base: int, side: int) -> Attrs | None:
        """The taps over which a tensor is the mean of `base`; None if it is not."""
        node = self.graph.nodes[edge >> 1]
        below = self.graph.nodes[node.ins[0] >> 1] if node.op == "mean" else node
        if below.op != "unf" or below.attrs[2] is not ONE or below.ins[0] ^ (edge & 1) != base:
            return None
        own, taps = below.attrs[0], below.attrs[1]
        size = self.graph.nodes[below.ins[0] >> 1].shape[own]
        count = below.shape[own] / size
        whole = [cut([(dim, False)]) for dim in below.shape]
        whole[own] = cut([(size, False), (count, True)])
        return taps if node.op == "mean" and node.attrs[0] == tuple(whole) and own ^ (edge & 1) == side else None

    def one_scale(self, terms: list[Term]) -> list[Term]:
        """The terms without a tensor of which a scale is added too."""
        bases = set()
        for _, layout, edge in terms:
            node = self.graph.nodes[edge >> 1]
            if node.op == "mul" and layout is None and self.alone(edge):
                others = [term for term in node.ins if self.graph.nodes[term[2] >> 1].op != "w"]
                if len(others) == 1 and len(node.ins) > 1 and others[0][:2] == (1, None):
                    bases.add(others[0][2] ^ (edge & 1))
        return [term for term in terms if term[1] is not None or term[2] not in bases]

    def coarser(self, a: Dim, b: Dim) -> Dim:
        """The groups of a map that is a map in `a` groups and one in `b` groups."""
        for fine, coarse in ((a, b), (b, a)):
            quotient = fine / coarse
            if not quotient.fault and (quotient.denominator == 1 or quotient in self.graph.known):
                return coarse
        return ONE


def _joint_taps(a: Attrs, b: Attrs) -> Attrs | None:
    """The taps of the sum of two convolutions; None if one is dilated differently, or has several taps of one axis."""
    found = {where: (k, d) for where, k, d in a}
    if len(found) < len(a) or len({where for where, _, _ in b}) < len(b):
        return None  # taps of taps of one axis
    for where, k, d in b:
        mine = found.get(where, (1, d))
        if mine[1] != d:
            return None
        found[where] = (max(k, mine[0]), d)
    return tuple((where, k, d) for where, (k, d) in sorted(found.items(), key=lambda item: not item[0][0][1]))
