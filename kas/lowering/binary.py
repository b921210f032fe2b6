"""Lowering of the element-wise functions of two tensors. Broadcasts are views: nothing is repeated in memory."""

from __future__ import annotations

from functools import partial

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import product
from kas.language.primitives.binary import Binary, align
from kas.language.shapes import Shape, Side
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form, form_of
from kas.lowering.emitter import Emit, Emitter, chunks, runs
from kas.lowering.graph import Node

__all__ = ["EXPRESSIONS", "OPTIMIZED", "PLAIN", "added_mul", "broadcast_marks"]

# Pushed away from zero, keeping its sign: sign(0) = 1, so that is not torch.sign.
_NONZERO = "torch.where({r} < 0, {r}.clamp(max=-1e-3), {r}.clamp(min=1e-3))"
EXPRESSIONS = {
    "add": "{l} + {r}",
    "mul": "{l} * {r}",
    "max": "torch.maximum({l}, {r})",
    "min": "torch.minimum({l}, {r})",
    "sub": "{l} - {r}",
    "div": "{l} / " + _NONZERO,
}


def _aligned_forms(left: Side, right: Side) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    """The forms in which torch broadcasts one side of the left operand into the same side of the right one."""
    how = align(left, right)
    if how.by_name:
        theirs = right.axes()
        return tuple(dim if name in how.names else ONE for name, dim in theirs), tuple(dim for _, dim in theirs)
    return (how.prefix, ONE, how.rest, how.suffix), (how.prefix, how.multiplier, how.rest, how.suffix)


def _lower(expression: str, site: Site) -> str:
    left, right = site.shapes
    first, second = (_aligned_forms(ours, theirs) for ours, theirs in zip(left, right, strict=True))
    form = (*first[1], *second[1])
    ours, theirs = site.input(0, (*first[0], *second[0])), site.input(1, form)
    if isinstance(site.step, Binary) and getattr(site.step, "swap", False):
        ours, theirs = theirs, ours
    result = expression.format(l=ours, r=theirs)
    return result if form == form_of(right) else site.output(f"({result})", form)


PLAIN: dict[str, Plain] = {op: partial(_lower, expression) for op, expression in EXPRESSIONS.items()}


def broadcast_marks(left: Shape, right: Shape) -> list[tuple[Dim, bool]]:
    """The right operand as stretches of elements that the left one also has (True) or that it repeats over."""
    marked: list[tuple[Dim, bool]] = []
    for ours, theirs in zip(left, right, strict=True):
        marked += [(dim, own is not ONE) for own, dim in zip(*_aligned_forms(ours, theirs), strict=True)]
    return marked


def _operands(emitter: Emitter, node: Node) -> tuple[str, str, Form]:
    """Both in the right operand's form if the broadcast allows it, else in the coarsest that it does; and that form."""
    left, right = node.ins
    parts = runs(broadcast_marks(left.shape, right.shape))
    form = emitter.values[right].form
    found = chunks(form, (dim for dim, _ in parts))
    if found is None:
        form = tuple(dim for dim, _ in parts)
        found = [range(i, i + 1) for i in range(len(form))]
    own = tuple(form[i] if mark else ONE for part, (_, mark) in zip(found, parts, strict=True) for i in part)
    ours, theirs = emitter.reshaped(left, own), emitter.reshaped(right, form)
    assert product(own) is left.shape.product
    return ours, theirs, form


def _emit(expression: str, emitter: Emitter, node: Node) -> tuple[str, Form]:
    ours, theirs, form = _operands(emitter, node)
    if getattr(node.step, "swap", False):
        ours, theirs = theirs, ours
    if node.op in ("add", "sub"):
        return _sum(emitter, node, ours, theirs), form
    if expression.count("{r}") > 1:
        theirs = emitter.variable(theirs)
    return expression.format(l=ours, r=theirs), form


def added_mul(emitter: Emitter, node: Node, other: Node) -> tuple[str, Form]:
    """A product of elements, added to another value."""
    ours, theirs, form = _operands(emitter, node)
    return f"torch.addcmul({emitter.reshaped(other, form)}, {ours}, {theirs})", form


def _sum(emitter: Emitter, node: Node, first: str, second: str) -> str:
    """A sum or difference, over the memory of an operand of that shape that nothing else needs."""
    swap = bool(getattr(node.step, "swap", False))
    left, right = node.ins[::-1] if swap else node.ins
    sign = "+" if node.op == "add" else "-"
    whole = node.shape.product
    for operand, own, other in ((left, first, second), (right, second, first)):
        free = operand.shape.product is whole and emitter.values[operand].name == own and emitter.spare(operand)
        if free and left is not right and (sign == "+" or operand is left):
            return f"{own}.{'add_' if sign == '+' else 'sub_'}({other})"
    return f"{first} {sign} {second}"


def _emit_nonzero(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """What something is divided by, made beforehand."""
    value = emitter.values[node.ins[0]]
    return _NONZERO.format(r=value.name), value.form


OPTIMIZED: dict[str, Emit] = {op: partial(_emit, expression) for op, expression in EXPRESSIONS.items()}
OPTIMIZED |= {"quotient": partial(_emit, "{l} / {r}"), "nonzero": _emit_nonzero}
