"""Sums, products and extremes: flat, unordered, with numbers pulled out and rearrangements pulled out of them."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import gcd
from typing import Any

from kas.language.dims import ONE, Dim
from kas.language.normal.extremes import lattice
from kas.language.normal.graph import Graph, Number, Term, flip_attrs, flip_terms
from kas.language.normal.layout import Cut, Layout, cut, nest, or_full, refine

__all__ = ["add", "extreme", "full_terms", "multiply", "quotient", "scaled", "split", "tap_cut"]
from kas.language.normal.shuffles import unshuffled

Shape2 = tuple[Dim, Dim]
_MAX_EXPONENT = 2**16
REARRANGEMENTS = ("roll", "perm", "unf")


def scaled(g: Graph, number: Number, edge: int) -> int:
    """A tensor times a number."""
    return edge if number == 1 else add(g, [(number, None, edge)], g.shape(edge))


def split(g: Graph, edge: int) -> tuple[Number, int]:
    """A tensor as a number times a tensor: the content of a sum, -1 if all of its coefficients are negative."""
    node = g.nodes[edge >> 1]
    if node.op != "add" or not node.ins:
        return 1, edge
    if len(node.ins) == 1:
        number, layout, inner = node.ins[0]
        if layout is None and g.nodes[inner >> 1].op != "w":
            return number, inner ^ (edge & 1)
        if number == 1:
            return 1, edge
        content: Number = number
    else:
        content = _content([number for number, _, _ in node.ins])
        if content == 1:
            return 1, edge
    terms = tuple([(quotient(number, content), layout, inner) for number, layout, inner in node.ins])
    return content, g.intern("add", (), terms, node.shape) ^ (edge & 1)


def _content(numbers: list[Number]) -> Number:
    if any(not isinstance(number, int) for number in numbers):
        return -1 if all(number < 0 for number in numbers) else 1
    content = gcd(*(int(number) for number in numbers))
    return -content if all(number < 0 for number in numbers) else content


def quotient(a: Number, b: Number) -> Number:
    """Exactly a / b, an int where it is whole (which is much faster)."""
    if isinstance(a, int) and isinstance(b, int) and a % b == 0:
        return a // b
    return _whole(Fraction(a) / b)


def _whole(number: Number) -> Number:
    return number if isinstance(number, int) or number.denominator != 1 else number.numerator


def add(g: Graph, terms: Iterable[Term], shape: Shape2) -> int:
    """The sum of numbers times tensors, each broadcast by its layout."""
    found = _collect(g, "add", terms)
    flat: list[Term] = [(_whole(n), layout, edge) for (layout, edge), n in found.items() if n != 0]
    return _finish(g, "add", _share(g, "add", flat, shape), shape)


def multiply(g: Graph, terms: Iterable[Term], shape: Shape2) -> int:
    """The product of tensors to positive powers, each broadcast by its layout. Numbers are pulled out."""
    factor: Number = 1
    plain: list[Term] = []
    for exponent, layout, edge in terms:
        number, inner = split(g, edge) if g.nodes[edge >> 1].op == "add" else (1, edge)
        if number != 1 and exponent > 64:
            number, inner = 1, edge
        factor = factor * number ** int(exponent) if number != 1 else factor
        if exponent % 2 == 0 and g.nodes[inner >> 1].op == "abs":  # |x|^2 is x^2
            inner = g.nodes[inner >> 1].ins[0] ^ (inner & 1)
        plain.append((exponent, layout, inner))
    found = _collect(g, "mul", plain)
    return scaled(g, _whole(factor), _finish(g, "mul", _share(g, "mul", [(n, *key) for key, n in found.items()], shape), shape))


def extreme(g: Graph, op: str, terms: Iterable[Term], shape: Shape2) -> int:
    """The maximum or minimum of tensors; of negated ones it is the negated minimum or maximum."""
    terms = list(terms)
    parts = [split(g, edge) for _, _, edge in terms]
    if all(number < 0 and number == parts[0][0] for number, _ in parts):
        other = {"max": "min", "min": "max"}[op]
        inner = [(1, layout, edge) for (_, layout, _), (_, edge) in zip(terms, parts, strict=True)]
        return scaled(g, parts[0][0], extreme(g, other, inner, shape))
    found = lattice(g, op, list(_collect(g, op, terms)))
    return _finish(g, op, _share(g, op, [(1, *key) for key in found], shape), shape)


def _collect(g: Graph, op: str, terms: Iterable[Term]) -> dict[tuple[Layout | None, int], Number]:
    """Flat terms: an operand of the same op is replaced by its own operands; equal ones are counted."""
    found: dict[tuple[Layout | None, int], Number] = {}
    for number, layout, operand in terms:
        edge = g.straight(operand) if g.symmetric else operand
        nested = _nested(g, number, layout, edge) if g.nodes[edge >> 1].op == op else None
        if nested is None:
            key = layout, edge
            found[key] = found[key] + number if key in found else number
            continue
        for n, la, e in nested:
            found[(la, e)] = found.get((la, e), 0) + n
    return found


def _nested(g: Graph, number: Number, layout: Layout | None, edge: int) -> list[Term] | None:
    ins = g.nodes[edge >> 1].ins
    result: list[Term] = []
    for n, own, e in flip_terms(ins) if edge & 1 else ins:
        fits, full = nest(layout, own, g.known)
        if not fits or n * number > _MAX_EXPONENT:
            return None
        result.append((n * number, full, e))
    return result


def full_terms(g: Graph, terms: Iterable[Term]) -> list[Term]:
    """The terms that are tensors of the shape of the result."""
    return [term for term in terms if term[1] is None and g.nodes[term[2] >> 1].op != "w"]


def _share(g: Graph, op: str, terms: list[Term], shape: Shape2) -> list[Term]:
    """A rearrangement of several terms becomes one of their sum: op(S(a), S(b)) = S(op(a, b)).

    Rearrangements are roll, perm and unf (whose padding is zero, which 0+0, 0*0, max(0, 0), min(0, 0) keep). With a broadcast
    operand that is constant along S, S is pulled out of everything or of nothing.
    """
    if len(terms) == 1 and (op == "add" or terms[0][0] == 1):
        return terms
    kinds: dict[tuple[str, tuple[Any, ...]], list[Term]] = {}
    for term in terms:
        node = g.nodes[term[2] >> 1]
        if node.op in REARRANGEMENTS and term[1] is None:
            attrs = flip_attrs(node.op, node.attrs) if term[2] & 1 else node.attrs
            kinds.setdefault((node.op, attrs), []).append(term)
    for (kind, attrs), members in kinds.items():
        others = [term for term in terms if term not in members]
        moved = _invariant(g, op, kind, attrs, others) if len(full_terms(g, terms)) == len(members) else None
        if moved is None:
            if len(members) < 2:
                continue
            moved = []
        else:
            others = []
        inner = [(n, None, g.nodes[e >> 1].ins[0] ^ (e & 1)) for n, _, e in members]
        joined = _combine(g, op, inner + moved, g.shape(inner[0][2]))
        number, joined = split(g, joined)
        result: Term = (number if op == "add" else 1, None, g.make(kind, attrs, joined))
        if op != "add" and number != 1:
            result = (1, None, scaled(g, number, result[2]))
        return _share(g, op, [*others, result], shape)
    return terms


def _combine(g: Graph, op: str, terms: list[Term], shape: Shape2) -> int:
    if op == "add":
        return add(g, terms, shape)
    return multiply(g, terms, shape) if op == "mul" else extreme(g, op, terms, shape)


def _invariant(g: Graph, op: str, kind: str, attrs: tuple[Any, ...], terms: list[Term]) -> list[Term] | None:
    """Broadcast terms as they are before a rearrangement, which they do not vary along; None if one of them does.

    The weight of a scale or bias may vary along a shuffle: its axes in another order are a view of it.
    """
    result = []
    for number, layout, edge in terms:
        if kind == "perm":
            found = unshuffled(g, attrs[0], (number, layout, edge))
            if found is None:
                return None
            result.append(found)
            continue
        before = None if layout is None else _before(g, op, kind, attrs, layout)
        if before is None:
            return None
        result.append((number, or_full(before), edge))
    return result


def _before(g: Graph, op: str, kind: str, attrs: tuple[Any, ...], layout: Layout) -> Layout | None:
    if kind == "unf":
        return _before_taps(g, attrs, layout) if op == "mul" else None
    for side, moved in zip(layout, attrs[0], strict=True):
        pieces = refine(side, moved, g.known) if moved else ()
        if pieces is None or any(present and rearranged for _, present, rearranged in pieces):
            return None
    return layout


def tap_cut(product: Dim, taps: tuple[Any, ...], suffix: Dim) -> Cut:
    """The channel side of an unfolded tensor, with its taps flagged."""
    count = ONE
    for _, k, _ in taps:
        count = count * Dim.of(k)
    return cut([(product / count / suffix, False), (count, True), (suffix, False)])


def _before_taps(g: Graph, attrs: tuple[Any, ...], layout: Layout) -> Layout | None:
    side, taps, suffix = attrs
    product = ONE
    for dim, _ in layout[side]:
        product = product * dim
    if any(present for _, present in layout[1 - side]):
        return None
    pieces = refine(layout[side], tap_cut(product, taps, suffix), g.known)
    if pieces is None or any(present and tap for _, present, tap in pieces):
        return None
    rest = cut((dim, present) for dim, present, tap in pieces if not tap)
    return (rest, layout[1]) if side == 0 else (layout[0], rest)


def _finish(g: Graph, op: str, terms: list[Term], shape: Shape2) -> int:
    if len(terms) == 1 and terms[0][0] == 1 and terms[0][1] is None and g.nodes[terms[0][2] >> 1].op != "w":
        return terms[0][2]
    if _turned(g, terms):
        return g.intern(op, (), flip_terms(terms), (shape[1], shape[0])) ^ 1
    return g.intern(op, (), tuple(terms), shape)


def _turned(g: Graph, terms: list[Term]) -> bool:
    """Whether a result is stored transposed: as its full operands are, the least of them where they differ."""
    for term in terms:
        if term[2] & 1:
            break
    else:
        return False
    tensors = full_terms(g, terms) or [term for term in terms if g.nodes[term[2] >> 1].op != "w"]
    if not any(term[2] & 1 for term in tensors):
        return False
    if all(term[2] & 1 for term in tensors):
        return True
    return bool(min(tensors, key=lambda term: (g.signature(term[2] >> 1), term[2] & 1))[2] & 1)
