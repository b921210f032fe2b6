"""Attributes of nodes as texts: with variables anonymous, to order by; or by names that are given as they are first seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kas.language.dims import Dim

__all__ = ["attribute_text", "named_text", "template"]

_VARIABLE = re.compile(r"(x\d+)")
_MOST_TEXTS = 2**15
_ANONYMOUS: dict[Any, str] = {}  # both are caches, emptied when they are full
_TEMPLATES: dict[Any, tuple[str, tuple[str, ...]]] = {}


def attribute_text(value: Any) -> str:
    """Attributes as a text, every variable written as `x`."""
    text = _ANONYMOUS.get(value)
    if text is None:
        text = named_text(value, lambda _: "x")
        if len(_ANONYMOUS) >= _MOST_TEXTS:
            _ANONYMOUS.clear()
        _ANONYMOUS[value] = text
    return text


def named_text(value: Any, name: Callable[[str], str]) -> str:
    """Attributes as a text, every variable by its name."""
    text, variables = template(value)
    return text.format(*[name(variable) for variable in variables]) if variables else text


def template(value: Any) -> tuple[str, tuple[str, ...]]:
    """Attributes as a text with `{0}`, `{1}`, ... for each variable, and the variables, by first sight."""
    found = _TEMPLATES.get(value)
    if found is None:
        pieces = _VARIABLE.split(_text(value))
        variables = tuple(dict.fromkeys(pieces[1::2]))
        pieces[1::2] = [f"{{{variables.index(variable)}}}" for variable in pieces[1::2]]
        found = "".join(pieces), variables
        if len(_TEMPLATES) >= _MOST_TEXTS:
            _TEMPLATES.clear()
        _TEMPLATES[value] = found
    return found


def _text(value: Any) -> str:
    kind = type(value)
    if kind is Dim:
        return str(value.text)
    if kind is tuple:
        return "(" + " ".join([_text(item) for item in value]) + ")"
    if kind is bool:
        return "+" if value else "."
    return "-" if value is None else str(value)
