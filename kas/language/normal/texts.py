"""Attributes of nodes as texts: with variables anonymous, to order by; or by names that are given as they are first seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kas.language.dims import Dim

__all__ = ["attribute_text", "named_text"]

_VARIABLE = re.compile(r"(x\d+)")
_MOST_TEXTS = 2**15
_ANONYMOUS: dict[Any, str] = {}  # both are caches, emptied when they are full
_PIECES: dict[Any, list[str]] = {}


def attribute_text(value: Any) -> str:
    """Attributes as a text, every variable written as `x`."""
    text = _ANONYMOUS.get(value)
    if text is None:
        text = "".join([piece if i % 2 == 0 else "x" for i, piece in enumerate(_pieces(value))])
        if len(_ANONYMOUS) >= _MOST_TEXTS:
            _ANONYMOUS.clear()
        _ANONYMOUS[value] = text
    return text


def named_text(value: Any, name: Callable[[str], str]) -> str:
    """Attributes as a text, every variable by its name."""
    pieces = _PIECES.get(value)
    if pieces is None:
        pieces = _pieces(value)
    if len(pieces) == 1:
        return pieces[0]
    return "".join([name(piece) if i & 1 else piece for i, piece in enumerate(pieces)])


def _pieces(value: Any) -> list[str]:
    """The text around variables, and the variables, in turns."""
    pieces = _VARIABLE.split(_text(value))
    if len(_PIECES) >= _MOST_TEXTS:
        _PIECES.clear()
    _PIECES[value] = pieces
    return pieces


def _text(value: Any) -> str:
    if isinstance(value, Dim):
        return value.text
    if isinstance(value, tuple):
        return "(" + " ".join([_text(item) for item in value]) + ")"
    if isinstance(value, bool):
        return "+" if value else "."
    return "-" if value is None else str(value)
