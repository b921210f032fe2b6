"""A program as a text in which step order, commutative operands and names of variables do not matter."""

from __future__ import annotations

import re

from kas.language.kernel import Kernel
from kas.language.primitives import Step
from kas.language.primitives.binary import Binary

__all__ = ["canonical_text"]

_VARIABLE = re.compile(r"x\d+")


def canonical_text(kernel: Kernel) -> str:
    """The walk from the output; nodes and variables are numbered by first sight."""
    signatures = ["in"]
    for step in kernel.steps:
        operands = [signatures[i] for i in step.ins]
        if _commutes(kernel, step):
            operands.sort()
        signatures.append(f"{_VARIABLE.sub('x', _label(kernel, step))}({','.join(operands)})")
    seen: dict[int, int] = {}
    names: dict[str, str] = {}

    def walk(tensor: int) -> str:
        if tensor in seen:
            return f"#{seen[tensor]}"
        seen[tensor] = len(seen)
        if tensor == 0:
            return "in"
        step = kernel.steps[tensor - 1]
        order = sorted(step.ins, key=lambda i: signatures[i]) if _commutes(kernel, step) else step.ins
        label = _VARIABLE.sub(lambda m: names.setdefault(m[0], f"x{len(names)}"), _label(kernel, step))
        return f"{label}({','.join(walk(i) for i in order)})"

    return f"{kernel.rank} {walk(len(kernel.steps))}"


def _label(kernel: Kernel, step: Step) -> str:
    entry = step.to_dict()
    return " ".join(f"{key}={value}" for key, value in entry.items() if key != "ins")


def _commutes(kernel: Kernel, step: Step) -> bool:
    return isinstance(step, Binary) and step.commutative and kernel.shapes[step.ins[0]] == kernel.shapes[step.ins[1]]
