"""Rules for functions of each element, softmax and normalisation."""

from __future__ import annotations

from typing import Any

from kas.language.normal.arithmetic import add, multiply, scaled, split
from kas.language.normal.graph import Graph, Node, Term
from kas.language.normal.layout import Layout, overlap

__all__ = [
    "abs_number",
    "abs_product",
    "gate",
    "ignored_bias",
    "inwards",
    "move_out",
    "nothing_below_zero",
    "odd",
    "positive",
    "relu_number",
    "relu_product",
    "sqrt_even",
    "undone_scale",
]

Attrs = tuple[Any, ...]

_POSITIVE = ("relu", "abs", "sigmoid", "exp", "sqrt", "softmax")
_KEEP_ZERO = ("relu", "gelu", "tanh", "abs", "sin")


def positive(g: Graph, x: int) -> bool:
    """Whether a tensor is proved to be at least zero everywhere."""
    node = g.nodes[x >> 1]
    if node.op in _POSITIVE:
        return True
    known = g.positive.get(x >> 1)
    if known is None:
        known = g.positive[x >> 1] = _positive(g, node)
    return known


def gate(g: Graph, term: Term) -> bool:
    """Whether an operand of a product is never negative (a weight may be)."""
    return g.nodes[term[2] >> 1].op != "w" and (term[0] % 2 == 0 or positive(g, term[2]))


def _positive(g: Graph, node: Node) -> bool:
    if node.op in ("roll", "perm", "unf", "mean", "peak", "tanh", "gelu", "recip", "l2"):
        return positive(g, node.ins[0])
    if node.op == "mm":
        return all(positive(g, edge) for edge in node.ins)
    if node.op == "mul":
        return all(n % 2 == 0 or positive(g, e) for n, _, e in node.ins)
    if node.op in ("add", "min"):
        return all(n > 0 and positive(g, e) for n, _, e in node.ins)
    return node.op == "max" and any(positive(g, e) for _, _, e in node.ins)


def move_out(op: str) -> Any:
    """f(S(x)) = S(f(x)) for a rearrangement S; through zero padding only where f(0) = 0."""
    moves = ("roll", "perm", "unf") if op in _KEEP_ZERO else ("roll", "perm")

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        return g.make(node.op, node.attrs, g.make(op, (), node.ins[0])) if node.op in moves else None

    return rule


def odd(op: str) -> Any:
    """f(-x) = -f(x) for tanh, sin and the normalisations."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        number, inner = split(g, x)
        return scaled(g, -1, g.make(op, attrs, scaled(g, -number, inner))) if number < 0 else None

    return rule


def relu_number(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """relu(q x) = q relu(x) for q > 0."""
    number, inner = split(g, x)
    return scaled(g, number, g.make("relu", (), inner)) if number > 0 and number != 1 else None


def abs_number(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """|q x| = |q| |x|."""
    number, inner = split(g, x)
    return scaled(g, max(number, -number), g.make("abs", (), inner)) if number != 1 else None


def sqrt_even(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """sqrt is of the absolute value: neg and abs before it do nothing."""
    node = g.nodes[x >> 1]
    if node.op == "abs":
        return g.make("sqrt", (), node.ins[0])
    number, inner = split(g, x)
    return g.make("sqrt", (), scaled(g, -number, inner)) if number < 0 else None


def nothing_below_zero(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """relu and abs of what is never negative do nothing."""
    return x if positive(g, x) else None


def inwards(op: str) -> Any:
    """relu and abs pass below functions that keep signs (relu: that are zero at zero); abs below odd ones."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        node = g.nodes[x >> 1]
        return g.make(node.op, (), g.make(op, (), node.ins[0]))

    return rule


def relu_product(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """relu(p x) = p relu(x) where p is never negative."""
    node = g.nodes[x >> 1]
    gates = [term for term in node.ins if gate(g, term)]
    rest = [term for term in node.ins if term not in gates]
    if not gates or not rest:
        return None
    inner = g.make("relu", (), multiply(g, rest, node.shape))
    return multiply(g, [(1, None, inner), *gates], node.shape)


def abs_product(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
    """|x y| = |x| |y|; a weight has no absolute value here."""
    node = g.nodes[x >> 1]
    if any(g.nodes[edge >> 1].op == "w" and number % 2 for number, _, edge in node.ins):
        return None
    terms = [(n, layout, e if n % 2 == 0 else g.make("abs", (), e)) for n, layout, e in node.ins]
    return multiply(g, terms, node.shape)


def _without(g: Graph, op: str, x: int, layout: Layout, weights_only: bool) -> int | None:
    """A sum or product without the broadcast operands that are constant along the flagged axes; None if there is none."""
    node = g.nodes[x >> 1]
    if node.op != op:
        return None
    kept = [
        term
        for term in node.ins
        if term[1] is None or (weights_only and g.nodes[term[2] >> 1].op != "w") or overlap(layout, term[1], g.known)
    ]
    if len(kept) == len(node.ins) or not kept:
        return None
    return add(g, kept, node.shape) if op == "add" else multiply(g, kept, node.shape)


def ignored_bias(op: str) -> Any:
    """A softmax and a standard normalisation ignore what is constant along their axes and added."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        less = _without(g, "add", x, attrs[0], weights_only=False)
        return None if less is None else g.make(op, attrs, less)

    return rule


def undone_scale(op: str) -> Any:
    """A normalisation undoes a `scale` whose weight is constant along the normalised axes (but for its sign and the 1e-6)."""

    def rule(g: Graph, attrs: Attrs, x: int, token: int) -> int | None:
        less = _without(g, "mul", x, attrs[0], weights_only=True)
        return None if less is None else g.make(op, attrs, less)

    return rule
