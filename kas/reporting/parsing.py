"""Parsers of what was read from elsewhere: each takes any value and gives it back, or None if it is not of its type.

>>> number("12") is None, count(12), kernel_hash("../x") is None
(True, 12, True)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "Parse", "count", "counts", "decoded", "each", "fields", "identity", "is_a", "kernel_hash", "listed", "loads", "mapping",
    "nullable", "number", "text", "width",
]  # fmt: skip

_MOST = 2**63 - 1  # what a database's integer holds
Parse = Callable[[Any], Any]  # gives None for what is not of the type


def loads(value: Any) -> Mapping[str, Any]:
    """A mapping that was stored as JSON text or as it is; anything else is an empty one."""
    return mapping(value) or {}


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e300 < value < 1e300:
        return None
    return value


def count(value: Any) -> int | None:
    """A whole number from 0 on that a database holds, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None


def width(value: Any) -> int | None:
    """A size of a kernel, from 1 to 2^20, or None."""
    return value if count(value) is not None and 1 <= value <= 1 << 20 else None


def text(value: Any) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value.strip() else None


def kernel_hash(value: Any) -> str | None:
    """The hash of a kernel, 16 hex digits, or None. It names files and folders."""
    return value if isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value, re.ASCII) else None


def identity(value: Any) -> str | None:
    """The identity of a study, 32 hex digits, or None."""
    return value if isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value, re.ASCII) else None


def mapping(value: Any) -> Mapping[str, Any] | None:
    """A mapping that was stored as JSON text or as it is, or None."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def is_a(kind: type) -> Parse:
    """Values of a type."""
    return lambda value: value if isinstance(value, kind) else None


def each(parse: Parse, keys: Parse = text) -> Parse:
    """A mapping whose keys and values are all of their types."""

    def read(value: Any) -> Mapping[str, Any] | None:
        sound = isinstance(value, dict) and all(keys(k) is not None and parse(v) is not None for k, v in value.items())
        return value if sound else None

    return read


def listed(parse: Parse, length: int | None = None) -> Parse:
    """A list of values that are all of their type; length: None for any."""

    def read(value: Any) -> list[Any] | None:
        fits = isinstance(value, (list, tuple)) and length in (None, len(value)) and all(parse(v) is not None for v in value)
        return list(value) if fits else None

    return read


def fields(*required: str, **parsers: Parse) -> Parse:
    """A mapping with these keys (others are a later kas's); None is a value that is not known, but for those `required`."""

    def read(value: Any) -> Mapping[str, Any] | None:
        if not isinstance(value, dict) or any(value.get(name) is None for name in required):
            return None
        sound = all(value.get(name) is None or parse(value[name]) is not None for name, parse in parsers.items())
        return value if sound else None

    return read


def decoded(parse: Parse) -> Parse:
    """What `parse` makes of a mapping that was stored as JSON text or as it is."""
    return lambda value: parse(mapping(value))


def nullable(parse: Parse) -> Parse:
    """Values of a type, or None in a place where that stands for what is not known."""
    return lambda value: value is None or parse(value)


counts = listed(count)
