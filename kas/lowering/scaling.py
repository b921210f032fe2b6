"""Lowering of scale and bias. Their parameters have the shape that broadcasts."""

from __future__ import annotations

from kas.language.primitives.scaling import Bias, Scale
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node

__all__ = ["OPTIMIZED", "PLAIN", "added_scale"]


def _scale(site: Site) -> str:
    return f"{site.ins[0]} * {site.weight}"


def _bias(site: Site) -> str:
    return f"{site.ins[0]} + {site.weight}"


PLAIN: dict[str, Plain] = {"scale": _scale, "bias": _bias}


def _operands(emitter: Emitter, node: Node, *numbers: int) -> tuple[str, list[str], Form]:
    """The input and the parameters of steps over the same axes, in forms that broadcast; the form of the result."""
    assert isinstance(node.step, Scale | Bias)
    over = node.step.axes
    expression, form, at = emitter.split(node.ins[0], [(dim, name in over) for name, dim in node.ins[0].shape.axes()])
    first = at[0]
    shape = [emitter.code.number(dim) if i in at else 1 for i, dim in enumerate(form)][first:]
    return expression, [emitter.parameter(number, shape) for number in numbers], form


def _emit_scale(emitter: Emitter, node: Node) -> tuple[str, Form]:
    x, (weight,), form = _operands(emitter, node, node.number)
    root = emitter.divisor(node)
    return f"{x} * ({weight} / {root})" if root else f"{x} * {weight}", form


def added_scale(emitter: Emitter, node: Node, other: Node) -> tuple[str, Form]:
    """A scale, added to another value."""
    x, (weight,), form = _operands(emitter, node, node.number)
    root = emitter.divisor(node)
    value = f", value=1 / {root}" if root else ""
    return f"torch.addcmul({emitter.reshaped(other, form)}, {x}, {weight}{value})", form


def _emit_bias(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Over the memory of a value that nothing else needs."""
    x, (weight,), form = _operands(emitter, node, node.number)
    if x == emitter.values[node.ins[0]].name and emitter.spare(node.ins[0]):
        return f"{x}.add_({weight})", form
    return f"{x} + {weight}", form


def _emit_affine(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A scale and a bias over the same axes, in one pass."""
    assert isinstance(node.attributes, tuple)
    scale = node.attributes[0]
    assert isinstance(scale, int)
    x, (weight, bias), form = _operands(emitter, node, scale, node.number)
    return f"torch.addcmul({bias}, {x}, {weight})", form


OPTIMIZED: dict[str, Emit] = {"scale": _emit_scale, "bias": _emit_bias, "affine": _emit_affine}
