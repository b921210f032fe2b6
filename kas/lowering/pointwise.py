"""Lowering of the element-wise functions of one tensor: each is one expression, the same in both lowerings."""

from __future__ import annotations

from functools import partial

from kas.lowering._site import Plain, Site

__all__ = ["EXPRESSIONS", "PLAIN"]

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


def _lower(expression: str, site: Site) -> str:
    return expression.format(x=site.ins[0])


PLAIN: dict[str, Plain] = {op: partial(_lower, expression) for op, expression in EXPRESSIONS.items()}
