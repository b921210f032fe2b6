"""Lowering of the element-wise functions of one tensor: each is one expression, the same in both lowerings."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from kas.lowering._site import Plain, Site
from kas.lowering.code import Form
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node

__all__ = ["EXPRESSIONS", "OF_NUMBER", "OPTIMIZED", "PLAIN"]

EXPRESSIONS = {
    "gelu": "F.gelu({x})",
    "relu": "F.relu({x})",
    "sigmoid": "torch.sigmoid({x})",
    "tanh": "torch.tanh({x})",
    "abs": "{x}.abs()",
    "exp": "{x}.clamp(max=10.0).exp()",
    "neg": "-{x}",
    "sin": "torch.sin({x} * (torch.pi / 2))",
    "sqrt": "{x}.abs().clamp(min=1e-6).sqrt()",
    "sqr": "{x}.square()",
}

# The same functions of a number, for what an unfold reads outside an image.
OF_NUMBER: dict[str, Callable[[float], float]] = {
    "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    "relu": lambda x: max(x, 0.0),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "abs": abs,
    "exp": lambda x: math.exp(min(x, 10.0)),
    "neg": lambda x: -x,
    "sin": lambda x: math.sin(x * (math.pi / 2)),
    "sqrt": lambda x: math.sqrt(max(abs(x), 1e-6)),
    "sqr": lambda x: x * x,
}


def _lower(expression: str, site: Site) -> str:
    return expression.format(x=site.ins[0])


PLAIN: dict[str, Plain] = {op: partial(_lower, expression) for op, expression in EXPRESSIONS.items()}


# In place: gradients need the result at most, which is there.
_IN_PLACE = {
    "relu": "F.relu({x}, inplace=True)",
    "sigmoid": "torch.sigmoid_({x})",
    "tanh": "torch.tanh_({x})",
    "neg": "torch.neg_({x})",
}

# Several calls: all but the first in place.
_SEVERAL = {
    "exp": "{x}.clamp(max=10.0).exp_()",
    "sin": "({x} * (torch.pi / 2)).sin_()",
    "sqrt": "{x}.abs().clamp_(min=1e-6).sqrt_()",
}


def _emit(op: str, emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The function of a value, over its memory where nothing else needs that."""
    value = emitter.values[node.ins[0]]
    expression = _SEVERAL.get(op, EXPRESSIONS[op])
    if op in _IN_PLACE and emitter.spare(node.ins[0]):
        expression = _IN_PLACE[op]
    return expression.format(x=value.name), value.form


OPTIMIZED: dict[str, Emit] = {op: partial(_emit, op) for op in EXPRESSIONS}
