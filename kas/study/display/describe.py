"""A kernel in words for the terminal: its program with the shape of every tensor (no torch)."""

from __future__ import annotations

import json
from typing import Any

from kas.language.kernel import Kernel

__all__ = ["program_lines"]


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


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
