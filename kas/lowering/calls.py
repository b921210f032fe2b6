"""How generated code calls `kas.lowering.functions`: by their module where it is built, by a copy of their text in a file."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["brought_along", "within_kas"]

_TEXTS = Path(__file__).with_name("functions.py").read_text("utf-8").rstrip().split("\n\n\n")[1:]  # not its head
_FUNCTIONS = {re.findall(r"^def (\w+)", text, re.MULTILINE)[0]: text for text in _TEXTS}
_CALL = re.compile(rf"(?<![\w.])(?={'|'.join(_FUNCTIONS)}\()")


def brought_along(body: str) -> str:
    """The source of the functions that a body calls, each with the two empty lines before it."""
    return "".join(f"\n\n{text}\n" for name, text in _FUNCTIONS.items() if f"{name}(" in body)


def within_kas(body: str) -> str:
    """A body that calls the functions where they are. torch.fx sees such a call, and not that of an imported name."""
    return _CALL.sub("functions.", body)
