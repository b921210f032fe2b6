"""Lowering of group, ungroup and transpose."""

from __future__ import annotations

from kas.language.primitives._base import channel_side
from kas.language.primitives.views import Transpose
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form, axis_position, form_of
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node

__all__ = ["OPTIMIZED", "PLAIN"]


def _reshape(site: Site) -> str:
    return site.output(site.ins[0], form_of(site.shapes[0]))


def _transpose(site: Site) -> str:
    assert isinstance(site.step, Transpose)
    side = channel_side(site.shapes[0], site.step.side)
    g, c = site.positions((f"{side}.g", f"{side}.c"))
    return f"{site.ins[0]}.transpose({g}, {c})"


PLAIN: dict[str, Plain] = {"group": _reshape, "ungroup": _reshape, "transpose": _transpose}


def _emit_view(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Nothing to do: the elements are where they were."""
    value = emitter.values[node.ins[0]]
    return value.name, value.form


def _emit_transpose(emitter: Emitter, node: Node) -> tuple[str, Form]:
    assert isinstance(node.step, Transpose)
    shape = node.ins[0].shape
    side = channel_side(shape, node.step.side)
    marked = [(dim, axis == f"{side}.g") for axis, dim in shape.axes()]
    c = shape.axis(f"{side}.c")
    expression, form, at = emitter.split(node.ins[0], marked)
    after = at[-1] + 1
    if len(at) > 1 or form[after] is not c:
        expression, form = emitter.axes(node.ins[0]), form_of(shape)
        at = [axis_position(shape, f"{side}.g") - 1]
        after = at[0] + 1
    g = at[0]
    return f"{expression}.transpose({g + 1}, {after + 1})", (*form[:g], form[after], form[g], *form[after + 1 :])


OPTIMIZED: dict[str, Emit] = {"view": _emit_view, "transpose": _emit_transpose}
