"""Checks of settings: each raises KasError with the key, the value and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin, get_type_hints

from kas.language.errors import KasError

__all__ = ["above", "at_least", "count", "is_factory", "literals", "nearest", "one_of", "within"]


def nearest(wanted: str, known: Iterable[str]) -> str:
    """`"; did you mean 'resnet18'?"`, or nothing if no known name is near."""
    near = difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def count(section: str, key: str, value: Any, bound: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < bound):
        raise KasError(f"{section}.{key} is {value!r}; it must be a whole number of at least {bound}")


def at_least(section: str, key: str, value: Any, bound: float) -> None:
    if value is not None and (not _is_number(value) or value < bound):
        raise KasError(f"{section}.{key} is {value!r}; it must be a number of at least {bound}")


def above(section: str, key: str, value: Any) -> None:
    if value is not None and (not _is_number(value) or value <= 0):
        raise KasError(f"{section}.{key} is {value!r}; it must be a number above 0")


def within(section: str, key: str, value: Any, low: float, high: float) -> None:
    if not _is_number(value) or not low <= value <= high:
        raise KasError(f"{section}.{key} is {value!r}; it must be a number from {low} to {high}")


def one_of(where: str, value: Any, choices: Any) -> None:
    known = get_args(choices)
    if value not in known:
        raise KasError(f"{where} is {value!r}; it must be one of {', '.join(known)}{nearest(str(value), known)}")


def literals(section: str, settings: Any) -> None:
    """Each field of a dataclass whose type is a Literal."""
    for key, hint in get_type_hints(type(settings)).items():
        if get_origin(hint) is Literal:
            one_of(f"{section}.{key}", getattr(settings, key), hint)


def is_factory(where: str, value: Any) -> None:
    if value is None:
        return
    module, colon, function = str(value).partition(":")
    if not (isinstance(value, str) and colon and module and function.isidentifier()):
        raise KasError(f"{where} is {value!r}; it must have the form package.module:function")
