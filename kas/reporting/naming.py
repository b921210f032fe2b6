"""Names of layers as people read them, and what a study replaces, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kas.reporting.rows import loads, text

__all__ = ["names_text", "replaced"]


def replaced(stored: Any) -> str:
    """What a study replaces, from its attribute `kas.targets`: `6 layers: stages.{0,1,2}.0.conv{1,2}`; else empty."""
    targets = _deployed(stored)
    if targets is None:
        return ""
    names = [name for target in targets if (name := text(loads(target).get("name")))]
    count = f"{len(targets)} layer{'' if len(targets) == 1 else 's'}"
    return f"{count}: {names_text(names)}" if names else count


def _deployed(stored: Any) -> Sequence[Any] | None:
    """The targets of the deployed network, or of the only list there is."""
    mapping = loads(stored)
    if mapping:
        lists = [mapping.get("deployed"), *mapping.values()]
        return next((targets for targets in lists if isinstance(targets, list)), None)
    listed = loads(f'{{"targets": {stored}}}') if isinstance(stored, str) else {"targets": stored}
    targets = listed.get("targets")
    return targets if isinstance(targets, list) else None


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
