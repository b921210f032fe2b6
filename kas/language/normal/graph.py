"""The graph of a kernel in normal form: interned nodes that know no names of axes.

A node is a matrix `[side 0, side 1]`, an *edge* is twice the number of a node, plus one if it is read transposed. Nodes
without a weight are interned: the same function of the same tensors is the same node. A *token* is a weight tensor (the
number of its step); a node with another token is another node, so two equal branches stay apart, and a shared tensor is one.

    in                            the input
    w                             a weight by itself, as an operand of `add` (bias) or `mul` (scale)
    add  (coefficient, layout, edge)...   a linear combination; sub and neg are coefficients
    mul  (exponent, layout, edge)...      a product; sqr is an exponent
    max, min  (1, layout, edge)...
    relu, sigmoid, ..., recip     functions of each element; recip is what `div` multiplies with
    roll (layout, by)             along the flagged axis
    perm (sides)                  per side None or (a, b, post): [a, b, post] to [b, a, post]
    unf  (side, taps, suffix)     taps (cut of the other side, k, d), inserted before the suffix of the side
    mean, peak (layout)           fold over the flagged pieces
    softmax, l2, standard (layout)
    lin  (side, groups, in, to, taps)     fc and conv
    mix  (sides)                  per side pieces (dim, new dim or None)
    mm                            a chain of matrix products
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from kas.language.dims import Dim
from kas.language.normal.layout import Layout, flip
from kas.language.normal.texts import attribute_text

__all__ = ["SETS", "Graph", "Node", "Number", "Rule", "Term", "flip_attrs", "flip_terms"]

Number = int | Fraction
Term = tuple[Number, "Layout | None", int]
Rule = Callable[["Graph", tuple[Any, ...], int, int], "int | None"]

SETS = frozenset(("add", "mul", "max", "min"))
_RESIZING = frozenset(("unf", "mean", "peak", "mix"))


class Node:
    """One tensor.

    Attributes:
        op, attrs: what it does.
        ins: edges (terms for add, mul, max, min).
        token: its weight, 0 for none.
        mark: keeps apart uses of a weight that differ by a view.
        shape: the products of both sides.
        signature: a digest of the tree below, without names of variables and weights; "" until it is asked for.
    """

    __slots__ = ("attrs", "ins", "mark", "op", "shape", "signature", "token")

    def __init__(
        self, op: str, attrs: tuple[Any, ...], ins: tuple[Any, ...], token: int, mark: str, shape: tuple[Dim, Dim]
    ) -> None:
        self.op, self.attrs, self.ins, self.token, self.mark, self.shape = op, attrs, ins, token, mark, shape
        self.signature = ""


class Graph:
    """Nodes, made by the rules of `kas.language.normal.rules`.

    Attributes:
        known: dims of the kernel, which are integers at every target.
        tied: tokens known to be used in more than one node: their weight must stay as it is.
        bent: tokens whose weight was changed by a view or a factor.
        positive: what is known of which nodes are never negative.
        symmetric: numbers of nodes that are their own transpose.
        numbered: whether some sum has a coefficient other than one.
    """

    __slots__ = ("_index", "_made", "bent", "known", "nodes", "numbered", "positive", "rules", "symmetric", "tied")

    def __init__(
        self, known: Container[Dim], tied: frozenset[int], rules: Mapping[str, Mapping[str, tuple[Rule, ...]]]
    ) -> None:
        """`rules`: for each op with one operand and each op of the operand, the rules to try, in order."""
        self.known = known
        self.tied = tied
        self.bent: set[int] = set()
        self.symmetric: set[int] = set()
        self.numbered = False
        self.positive: dict[int, bool] = {}
        self.nodes: list[Node] = []
        self.rules = rules
        self._index: dict[Any, int] = {}
        self._made: dict[Any, int] = {}  # a step of a shared tensor is rewritten once, which bounds the time

    def node(self, edge: int) -> Node:
        """The node of an edge."""
        return self.nodes[edge >> 1]

    def shape(self, edge: int) -> tuple[Dim, Dim]:
        """The products of both sides, as read through an edge."""
        shape = self.nodes[edge >> 1].shape
        return (shape[1], shape[0]) if edge & 1 else shape

    def straight(self, edge: int) -> int:
        """The edge itself, or of a symmetric matrix read transposed the matrix."""
        return edge & ~1 if self.symmetric and edge >> 1 in self.symmetric else edge

    def make(self, op: str, attrs: tuple[Any, ...], x: int, token: int = 0) -> int:
        """A step with one operand: by the first rule that applies, or as a new node."""
        if x & 1 or self.symmetric:
            if x >> 1 in self.symmetric:
                x = x & ~1
                if attrs and op != "mix" and attribute_text(turned := flip_attrs(op, attrs)) < attribute_text(attrs):
                    return self.make(op, turned, x, token) ^ 1  # of two orientations the lesser
            elif x & 1:
                return self.make(op, flip_attrs(op, attrs), x ^ 1, token) ^ 1
        key = (op, attrs, x, token)
        known = self._made.get(key)
        if known is None:
            below = self.nodes[x >> 1]
            for rule in self.rules[op][below.op]:
                known = rule(self, attrs, x, token)
                if known is not None:
                    break
            else:
                known = 2 * len(self.nodes)
                shape = result_shape(op, attrs, below.shape) if attrs else below.shape
                self.nodes.append(Node(op, attrs, (x,), token, "", shape))
                if self.symmetric and not attrs and x >> 1 in self.symmetric:
                    self.symmetric.add(known >> 1)  # a function of each element
            self._made[key] = known
        return known

    def intern(
        self, op: str, attrs: tuple[Any, ...], ins: tuple[Any, ...], shape: tuple[Dim, Dim], token: int = 0, mark: str = ""
    ) -> int:
        """The edge of a node that no rule reads, which is made if it is not there yet."""
        key = (op, attrs, frozenset(ins) if op in SETS else ins, token, mark, shape)
        known = self._index.get(key)
        if known is None:
            if op == "add" and not self.numbered:
                self.numbered = any(term[0] != 1 for term in ins)
            known = self._index[key] = 2 * len(self.nodes)
            self.nodes.append(Node(op, attrs, ins, token, mark, shape))
        return known

    def signature(self, number: int) -> str:
        """A digest of the tree below a node, without names of variables and weights."""
        node = self.nodes[number]
        if not node.signature:
            ins = node.ins
            if node.op in SETS:
                below = ",".join(sorted([self.term_key(term) for term in ins]))
            elif len(ins) == 1:
                below = self.edge_key(ins[0])
            else:
                below = ",".join([self.edge_key(edge) for edge in ins])
            node.signature = _signature(node.op, node.attrs, node.token > 0, below)
        return node.signature

    def edge_key(self, edge: int) -> str:
        """A key to order edges by, which does not depend on the order of steps or the names of variables."""
        node = self.nodes[edge >> 1]
        signature = node.signature or self.signature(edge >> 1)
        return f"{signature}'" if edge & 1 and node.op != "w" else signature

    def term_key(self, term: Term) -> str:
        """A key to order terms by."""
        number, layout, edge = term
        return f"{self.edge_key(edge)}*{number}{attribute_text(layout)}"


@lru_cache(maxsize=2**14)
def _signature(op: str, attrs: tuple[Any, ...], weighted: bool, below: str) -> str:
    text = f"{op}{attribute_text(attrs)}{'*' if weighted else ''}({below})"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def flip_attrs(op: str, attrs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The attributes of a step on the transposed matrix."""
    if op in ("unf", "lin"):
        return (1 - attrs[0], *attrs[1:])
    return ((attrs[0][1], attrs[0][0]), *attrs[1:]) if attrs else attrs


def flip_terms(terms: Iterable[Term]) -> tuple[Term, ...]:
    """The terms of the transposed result."""
    return tuple((n, flip(layout), e ^ 1) for n, layout, e in terms)


def result_shape(op: str, attrs: tuple[Any, ...], shape: tuple[Dim, Dim]) -> tuple[Dim, Dim]:
    """The products of both sides of the result of a step with one operand."""
    if op == "lin":
        return (attrs[3], shape[1]) if attrs[0] == 0 else (shape[0], attrs[3])
    if op not in _RESIZING:
        return shape
    sides = list(shape)
    if op == "unf":
        for _, k, _ in attrs[1]:
            sides[attrs[0]] = sides[attrs[0]] * Dim.of(k)
    elif op in ("mean", "peak"):
        for i, side in enumerate(attrs[0]):
            for dim, flag in side:
                sides[i] = sides[i] / dim if flag else sides[i]
    elif op == "mix":
        for i, side in enumerate(attrs[0]):
            for dim, new in side:
                sides[i] = sides[i] if new is None else sides[i] / dim * new
    return sides[0], sides[1]
