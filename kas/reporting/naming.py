"""Names of kernels and layers as people read them, and what a study replaces, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from kas import zoo
from kas.language import InvalidKernel, Kernel
from kas.solvers import Target
from kas.solvers.describing import describe_targets

__all__ = ["formula", "kernel_name", "names_text", "replaced"]


@lru_cache(maxsize=4096)
def kernel_name(program: str | None) -> str | None:
    """The name of the known kernel that a program is; None if it is none of them.

    >>> kernel_name(zoo.get("bottleneck").to_json())
    'bottleneck'
    """
    try:
        return zoo.known_as(Kernel.from_json(program or ""))
    except InvalidKernel:
        return None


def formula(program: str | None) -> str:
    """A program in one line: its ops in order, with what a step reads where that is not the step before it.

    >>> formula(zoo.get("ghost").to_json())
    'fc to C → relu → conv3x3 depthwise → add(2, 3)'
    """
    try:
        steps = json.loads(program or "")["steps"]
        return " → ".join(_op(number, step) for number, step in enumerate(steps, start=1))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def _op(number: int, step: Mapping[str, Any]) -> str:
    """`conv3x3`, `fc to x0`, `add(x, 4)`: x is the input, a number the step."""
    window = "x".join(map(str, step["k"])) if isinstance(step.get("k"), list) else str(step.get("k", ""))
    ins = list(step["ins"])
    reads = "" if ins == [number - 1] else f"({', '.join('x' if i == 0 else str(i) for i in ins)})"
    depth = " depthwise" if step.get("depthwise") else ""
    to = f" to {step['to']}" if "to" in step and not depth else ""
    return f"{step['op']}{window}{reads}{depth}{to}"


def replaced(targets: Mapping[str, Any] | None) -> str:
    """What a study replaces, from its attribute `kas.targets` (`kas.reporting.stored`); empty if there is none.

    >>> replaced({"deployed": [Target(f"layer1.{i}.conv", 64, 64, (8, 8)).to_dict() for i in (0, 1)]})
    'layer1.{0,1}.conv: 2 layers; adapters: 2 none'
    """
    deployed = [Target.from_dict(target) for target in (targets or {}).get("deployed", ())]
    if not deployed:
        return ""
    return f"{names_text([target.name for target in deployed])}: {describe_targets(deployed).removeprefix('replaces ')}"


def names_text(names: Sequence[str]) -> str:
    """Names in one text: `layer1.{0,1}.conv{1,2}` where they are all combinations of such parts, else the first of them."""
    rows = [name.split(".") for name in names]
    if len({len(row) for row in rows}) == 1:
        parts = [list(dict.fromkeys(column)) for column in zip(*rows, strict=True)]
        combinations = 1
        for part in parts:
            combinations *= len(part)
        if combinations == len(set(names)):
            return ".".join(map(_part, parts))
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _part(texts: Sequence[str]) -> str:
    """Alternatives with what they have in common at the start written once."""
    if len(texts) == 1:
        return texts[0]
    common = 0
    while all(len(text) > common and text[: common + 1] == texts[0][: common + 1] for text in texts):
        common += 1
    return f"{texts[0][:common]}{{{','.join(text[common:] for text in texts)}}}"
