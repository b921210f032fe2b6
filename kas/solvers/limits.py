"""Budgets: what a user may write, and the integer limits that it means for given targets."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isfinite
from typing import Any

from kas.language.errors import KasError
from kas.solvers.targets import Target

__all__ = ["KEYS", "Entry", "Limit", "most_within", "parse_budget", "resolve"]

KEYS = ("macs", "params", "memory", "work")
_OPTIONS = ("max", "min", "each", "absolute")


@dataclass(frozen=True)
class Entry:
    """What a budget says about one key, as written. Ratios to what is replaced unless `absolute`.

    max, min: for the whole network (memory: for the target with the highest peak). each: the most for each target.
    """

    key: str
    max: float | None = None
    min: float | None = None
    each: float | None = None
    absolute: bool = False


@dataclass(frozen=True)
class Limit:
    """One key of a budget for given targets, in whole units: MACs, parameters, bytes, half work units.

    Attributes:
        total: the most for the network, None if the key has no upper limit; memory: for each target.
        real: the same as a real number: what use is a fraction of.
        each: the most for each target, None if there is no such limit.
        minimum: the least for the network, 0 for none.
        replaced, reference: what each replaced layer costs, and the sum of it (memory: its maximum).
    """

    key: str
    total: int | None
    real: float
    each: tuple[int, ...] | None
    minimum: int
    replaced: tuple[int, ...]
    reference: int
    entry: Entry


def parse_budget(budget: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries of a budget: each key holds a number (the upper limit) or `{"max", "min", "each", "absolute"}`.

    Raises KasError with the nearest right name for an unknown key, or the value that is not a number over 0.
    """
    if not isinstance(budget, Mapping):
        raise KasError(f"a budget is an object such as {{'macs': 0.5}}, not {budget!r}")
    return tuple(_entry(key, value) for key, value in budget.items())


def _entry(key: str, value: Any) -> Entry:
    if key not in KEYS:
        raise KasError(f"budget.{key} is an unknown key; {_hint(key, KEYS)}")
    if not isinstance(value, Mapping):
        return Entry(key, max=_number(f"budget.{key}", value))
    for option in value:
        if option not in _OPTIONS:
            raise KasError(f"budget.{key}.{option} is an unknown key; {_hint(option, _OPTIONS)}")
    numbers = {o: _number(f"budget.{key}.{o}", value[o]) for o in ("max", "min", "each") if value.get(o) is not None}
    absolute = value.get("absolute", False)
    if not isinstance(absolute, bool):
        raise KasError(f"budget.{key}.absolute must be true or false, not {absolute!r}")
    if not numbers:
        raise KasError(f"budget.{key} sets no limit; give it a number, or one of max, min and each")
    if "min" in numbers and numbers["min"] > numbers.get("max", numbers["min"]):
        raise KasError(f"budget.{key}.min = {numbers['min']} is over budget.{key}.max = {numbers['max']}")
    return Entry(key, **numbers, absolute=absolute)


def _hint(name: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), known, 1)
    return f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"


def _number(where: str, value: Any) -> float:
    try:
        number = float("nan") if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not isfinite(number) or number <= 0:
        raise KasError(f"{where} must be a number over 0, not {value!r}")
    return number


def resolve(entries: Sequence[Entry], targets: Sequence[Target]) -> tuple[Limit, ...]:
    """The integer limits of a budget for targets. An `each` limit bounds the network too."""
    return tuple(_resolve(entry, targets) for entry in entries)


def _resolve(entry: Entry, targets: Sequence[Target]) -> Limit:
    field = "macs" if entry.key == "work" else entry.key
    replaced = tuple(int(getattr(target, field)) for target in targets)
    join = max if entry.key == "memory" else sum
    reference, scale = join(replaced), 2 if entry.key == "work" else 1
    total, real = None, 0.0
    if entry.max is not None:
        total, real = most_within(entry.max, reference, entry.absolute, scale)
    each = None
    if entry.each is not None:
        shares = [most_within(entry.each, cost, entry.absolute, scale) for cost in replaced]
        each = tuple(whole for whole, _ in shares)
        if total is None or join(each) < total:
            total, real = join(each), float(join(exact for _, exact in shares))
    minimum = 0
    if entry.min is not None:
        minimum = ceil(_decimal(entry.min) * scale * (1 if entry.absolute else reference))
    return Limit(entry.key, total, real, each, minimum, replaced, reference, entry)


def most_within(value: float, reference: int, absolute: bool, scale: int) -> tuple[int, float]:
    """The largest whole number within a limit, whether it is read as a decimal or as a float, and the real limit."""
    base = scale * (1 if absolute else reference)
    whole = min(floor(_decimal(value) * base), floor(value * base))
    while whole > 0 and whole / base > value:
        whole -= 1
    return whole, value * base


def _decimal(value: float) -> Fraction:
    """0.29 as 29/100, not as the binary number next to it."""
    return Fraction(repr(value))
