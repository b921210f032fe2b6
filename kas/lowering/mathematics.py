"""A kernel as a formula that a person reads: `y = mean[kh, kw](W₃·relu(W₁·x) ⊙ taps₃ₓ₃(x))`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kas.language.kernel import Kernel
from kas.language.primitives import Step
from kas.lowering.labels import dim_text, step_text

__all__ = ["mathematics"]

_LONGEST = 72  # characters of a line; what is longer gets a name of its own
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_INFIX = {"add": "+", "sub": "-", "mul": "⊙", "div": "⊘"}
_ATOM, _DOT, _PRODUCT, _SUM = 4, 3, 2, 1  # how tightly a text holds together
_NAMES = "abcdefghijklmnopqrstuvwz"


def mathematics(kernel: Kernel) -> list[str]:
    """The lines of the formula: `a = …` for what is read more than once or is long, `y = …` at the end."""
    readers = Counter(i for step in kernel.steps for i in step.ins)
    texts: dict[int, tuple[str, int]] = {0: ("x", _ATOM)}
    lines: list[str] = []
    for number, step in enumerate(kernel.steps, 1):
        text, strength = _text(step, number, [texts[i] for i in step.ins])
        texts[number] = text, strength
        if readers[number] > 1 or (readers[number] and len(text) > _LONGEST):
            name = _NAMES[len(lines) % len(_NAMES)] + "′" * (len(lines) // len(_NAMES))
            lines.append(f"{name} = {text}")
            texts[number] = name, _ATOM
    return [*lines, f"y = {texts[next(i for i in range(len(texts)) if not readers[i])][0]}"]


def _text(step: Step, number: int, ins: list[tuple[str, int]]) -> tuple[str, int]:
    if len(ins) == 2:
        return _of_two(step, ins)
    x, strength = ins[0]
    weight = f"W{number}".translate(_LOWERED)
    tight = x if strength >= _DOT else f"({x})"
    if step.op in ("fc", "mix"):
        return f"{weight}·{tight}", _DOT
    if step.op == "conv":
        return f"{weight} ∗ {x if strength == _ATOM else f'({x})'}", _PRODUCT
    if step.op == "filter":
        return f"{weight} ∗[{_get(step, 'axis')[2:]}] {x if strength == _ATOM else f'({x})'}", _PRODUCT
    if step.op == "scale":
        return f"{weight} ⊙ {tight}", _PRODUCT
    if step.op == "bias":
        return f"{x} + {weight}", _SUM
    if step.op == "neg":
        return f"-{tight}", _SUM
    return f"{_function(step)}({x})", _ATOM


def _function(step: Step) -> str:
    """The name of a function of one tensor, with the axes that it joins."""
    axes = ", ".join(name[2:] for name in getattr(step, "axes", ()))
    if step.op == "fold":
        return f"{_get(step, 'how')}[{axes}]"
    if step.op in ("softmax", "shift"):
        by = f" by {_get(step, 'by')}" if step.op == "shift" else ""
        return f"{step.op}[{axes}{by}]"
    if step.op == "normalize":
        return f"{ {'l2': 'unit', 'standard': 'standardize'}[_get(step, 'how')] }[{axes}]"
    if step.op == "unfold":
        k = str(_get(step, "k")).translate(_LOWERED)
        return f"taps{'ₓ'.join([k] * len(_get(step, 'over')))}"
    if step.op == "group":
        return f"group[{dim_text(_get(step, 'by'))}]"
    op, _, attributes = step_text(step).partition(" ")
    return f"{op}[{attributes}]" if attributes else op


def _get(step: Step, name: str) -> Any:
    """An attribute of the op at hand."""
    return getattr(step, name)


def _of_two(step: Step, ins: list[tuple[str, int]]) -> tuple[str, int]:
    (left, a), (right, b) = ins
    if step.op in ("max", "min", "reassemble"):
        return f"{step.op}({left}, {right})", _ATOM
    if step.op in ("matmul", "bmm"):
        t = _get(step, "t")
        tight = [text if strength == _ATOM else f"({text})" for text, strength in ins]
        product = "·".join(text + "ᵀ" * flag for text, flag in zip(tight, t, strict=True)) + "/√d"
        if step.op == "bmm":
            name = "softmax" if _get(step, "softmax") else ""
            return f"each[{', '.join(_get(step, 'batch'))}]({f'{name}({product})' if name else product})", _ATOM
        return (f"softmax({product})", _ATOM) if _get(step, "softmax") else (product, _DOT)
    if getattr(step, "swap", False):
        (left, a), (right, b) = ins[::-1]
    level = _SUM if step.op in ("add", "sub") else _PRODUCT
    left = left if a >= level else f"({left})"
    right = right if b > level or (step.op in ("add", "mul") and b >= level) else f"({right})"
    return f"{left} {_INFIX[step.op]} {right}", level
