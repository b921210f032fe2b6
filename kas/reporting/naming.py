"""Names of layers as people read them, and what a study replaces, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kas.solvers import Target
from kas.solvers.describing import describe_targets

__all__ = ["names_text", "replaced"]


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
