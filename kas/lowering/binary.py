"""Lowering of the element-wise functions of two tensors. Broadcasts are views: nothing is repeated in memory."""

from __future__ import annotations

from functools import partial

from kas.language.dims import ONE, Dim
from kas.language.primitives.binary import Binary, align
from kas.language.shapes import Side
from kas.lowering._site import Plain, Site
from kas.lowering.code import form_of

__all__ = ["EXPRESSIONS", "PLAIN", "aligned_forms"]

EXPRESSIONS = {
    "add": "{l} + {r}",
    "mul": "{l} * {r}",
    "max": "torch.maximum({l}, {r})",
    "min": "torch.minimum({l}, {r})",
    "sub": "{l} - {r}",
    # sign(0) = 1, so the sign is not torch.sign; the denominator is r pushed away from zero, keeping its sign.
    "div": "{l} / torch.where({r} < 0, {r}.clamp(max=-1e-3), {r}.clamp(min=1e-3))",
}


def aligned_forms(left: Side, right: Side) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    """The forms in which torch broadcasts one side of the left operand into the same side of the right one."""
    how = align(left, right)
    if how.by_name:
        theirs = right.axes()
        return tuple(dim if name in how.names else ONE for name, dim in theirs), tuple(dim for _, dim in theirs)
    return (how.prefix, ONE, how.rest, how.suffix), (how.prefix, how.multiplier, how.rest, how.suffix)


def _lower(expression: str, site: Site) -> str:
    left, right = site.shapes
    first, second = (aligned_forms(ours, theirs) for ours, theirs in zip(left, right, strict=True))
    form = (*first[1], *second[1])
    ours, theirs = site.input(0, (*first[0], *second[0])), site.input(1, form)
    if isinstance(site.step, Binary) and getattr(site.step, "swap", False):
        ours, theirs = theirs, ours
    result = expression.format(l=ours, r=theirs)
    return result if form == form_of(right) else site.output(f"({result})", form)


PLAIN: dict[str, Plain] = {op: partial(_lower, expression) for op, expression in EXPRESSIONS.items()}
