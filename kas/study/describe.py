"""A kernel in words for the terminal: its program with the shape of every tensor, and its cost as formulas (no torch)."""

from __future__ import annotations

import json
from typing import Any

from kas.language.dims import SYMBOLS, Dim
from kas.language.kernel import Kernel
from kas.language.primitives import Outcome

__all__ = ["cost_formulas", "program_lines"]


def program_lines(kernel: Kernel) -> list[str]:
    """One line for each tensor: its number, the step that makes it, its shape."""
    steps = [("input", "")]
    for step in kernel.steps:
        attributes = {key: value for key, value in step.to_dict().items() if key not in ("op", "ins")}
        call = f"{step.op}({', '.join(map(str, step.ins))})"
        steps.append((call, " ".join(f"{key}={_text(value)}" for key, value in attributes.items())))
    calls = max(len(call) for call, _ in steps)
    texts = max(len(text) for _, text in steps)
    return [
        f"{number:>3}  {call:<{calls}}  {text:<{texts}}  {shape}"
        for number, ((call, text), shape) in enumerate(zip(steps, kernel.shapes, strict=True))
    ]


def cost_formulas(kernel: Kernel) -> dict[str, str]:
    """MACs, parameters and element-wise multiply-adds of one sample, each as a simplified formula in C, H, W, G, x0 ..."""
    return {
        "macs": _formula([_expression(outcome.macs) for outcome in kernel.outcomes]),
        "params": _formula([_expression(outcome.params) for outcome in kernel.outcomes]),
        "elementwise": _formula([_elementwise(outcome) for outcome in kernel.outcomes]),
    }


def _formula(terms: list[Any]) -> str:
    import sympy

    return str(sympy.factor_terms(sympy.Add(*terms)))


def _expression(dim: Dim | None) -> Any:
    import sympy

    if dim is None:
        return sympy.Integer(0)
    symbols = [sympy.Symbol(name, positive=True, integer=True) for name in SYMBOLS]
    powers = [symbol**power for symbol, power in zip(symbols, dim.powers, strict=True)]
    return sympy.Mul(sympy.Rational(dim.numerator, dim.denominator), *powers)


def _elementwise(outcome: Outcome) -> Any:
    if outcome.elementwise is None:
        return _expression(None)
    number, dim = outcome.elementwise
    return number * _expression(dim)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
