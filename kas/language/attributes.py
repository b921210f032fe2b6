"""How the attributes of a primitive are read from JSON, written back, and checked.

An attribute of a primitive is a dataclass field whose metadata carries a codec: `read` turns a JSON value into the Python
value (or raises InvalidKernel), `write` turns it back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any

from kas.language.dims import MAX_NUMBER, Dim
from kas.language.errors import InvalidKernel, shown

__all__ = [
    "Codec", "axes", "axis", "choice", "dim", "dims", "flag", "flags", "integer", "names", "odd", "pair", "pairs", "side",
    "whole",
]  # fmt: skip

MAX_LENGTH = 128  # of a list among the attributes


@dataclass(frozen=True)
class Codec:
    """Reads and writes one attribute. `kind` names it for the samplers and the mutation operators."""

    kind: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    choices: tuple[str, ...] = ()


def _attribute(codec: Codec, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"codec": codec})


def _integer(value: Any, low: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MAX_NUMBER:
        raise InvalidKernel(f"must be {what}, not {shown(value)}")
    return value


def _odd(value: Any, low: int) -> int:
    number = _integer(value, low, f"an odd integer of at least {low}")
    if number % 2 == 0:
        raise InvalidKernel(f"must be an odd integer of at least {low}, not {shown(value)}")
    return number


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidKernel(f"must be true or false, not {shown(value)}")
    return value


def _sequence(value: Any, what: str, length: int | None = None) -> list[Any]:
    if not isinstance(value, list | tuple) or not value or (length is not None and len(value) != length):
        raise InvalidKernel(f"must be {what}, not {shown(value)}")
    if len(value) > MAX_LENGTH:
        raise InvalidKernel(f"must be {what} of at most {MAX_LENGTH} entries, not {len(value)}")
    return list(value)


def integer(default: Any = MISSING, *, signed: bool = False) -> Any:
    """An integer of at least 1, or with `signed` any but 0."""

    def read(value: Any) -> int:
        if not signed:
            return _integer(value, 1, "an integer of at least 1")
        number = _integer(value, -MAX_NUMBER, "an integer other than 0")
        if number == 0:
            raise InvalidKernel("must be an integer other than 0, not 0")
        return number

    return _attribute(Codec("signed" if signed else "integer", read), default)


def odd(low: int) -> Any:
    """An odd integer of at least `low`."""
    return _attribute(Codec("odd", lambda value: _odd(value, low)))


def choice(*options: str) -> Any:
    """One of a few words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            raise InvalidKernel(f"must be one of {', '.join(options)}, not {shown(value)}")
        return value

    return _attribute(Codec("choice", read, choices=options))


def flag() -> Any:
    """True or false; false if left out."""
    return _attribute(Codec("flag", _flag), False)


def flags() -> Any:
    """Two booleans; both false if left out."""

    def read(value: Any) -> tuple[bool, ...]:
        return tuple(_flag(v) for v in _sequence(value, "two booleans", 2))

    return _attribute(Codec("flags", read, list), (False, False))


def pair(read_one: Callable[[Any], int], what: str, default: Any = MISSING) -> Any:
    """Two integers, for the axes h and w."""

    def read(value: Any) -> tuple[int, ...]:
        return tuple(read_one(v) for v in _sequence(value, what, 2))

    return _attribute(Codec("pair", read, list), default)


def odd_pair() -> Any:
    """Two odd integers of at least 1: a kernel size."""
    return pair(lambda value: _odd(value, 1), "two odd integers")


def dilation_pair() -> Any:
    """Two integers of at least 1; both 1 if left out."""
    return pair(lambda value: _integer(value, 1, "two integers of at least 1"), "two integers", (1, 1))


def whole(low: int) -> Any:
    """An integer of at least `low`."""
    return _attribute(Codec("integer", lambda value: _integer(value, low, f"an integer of at least {low}")))


def pairs() -> Any:
    """A list of at least two pairs of integers, for the axes h and w."""

    def read(value: Any) -> tuple[tuple[int, int], ...]:
        rows = [_sequence(row, "pairs of integers", 2) for row in _sequence(value, "a list of pairs")]
        if len(rows) < 2:
            raise InvalidKernel(f"must have at least two pairs, not {shown(value)}")
        low, what = -MAX_NUMBER, "pairs of integers"
        return tuple((_integer(h, low, what), _integer(w, low, what)) for h, w in rows)

    return _attribute(Codec("pairs", read, lambda value: [list(row) for row in value]))


def names(*options: str) -> Any:
    """A list of names of axes without their side, in the order of `options`, at least one, without repeats."""

    def read(value: Any) -> tuple[str, ...]:
        chosen = _sequence(value, f"a list of axes out of {', '.join(options)}")
        if any(not isinstance(name, str) or name not in options for name in chosen):
            raise InvalidKernel(f"must be a list of axes out of {', '.join(options)}, not {shown(value)}")
        if chosen != [name for name in options if name in chosen]:
            raise InvalidKernel(f"must name each axis once, in the order {', '.join(options)}, not {shown(value)}")
        return tuple(chosen)

    return _attribute(Codec("names", read, list, choices=options))


def dim() -> Any:
    """A legal dim."""
    return _attribute(Codec("dim", _dim, lambda value: value.text))


def dims() -> Any:
    """A list of legal dims."""

    def read(value: Any) -> tuple[Dim, ...]:
        return tuple(_dim(v) for v in _sequence(value, "a list of dims"))

    return _attribute(Codec("dims", read, lambda value: [d.text for d in value]))


def _dim(value: Any) -> Dim:
    try:
        read = Dim.of(value)
    except InvalidKernel as error:
        raise InvalidKernel(f"is no legal dim: {error}") from None
    if read.fault:
        raise InvalidKernel(f"is no legal dim: {read.text} {read.fault}")
    return read


def axes() -> Any:
    """A list of axis names such as "0.c", without repeats. Whether they exist and their order is the primitive's rule."""

    def read(value: Any) -> tuple[str, ...]:
        names = _sequence(value, "a list of axes such as ['0.c']")
        for name in names:
            if not isinstance(name, str) or name[:2] not in ("0.", "1.") or name[2:] not in ("g", "c", "kh", "kw", "h", "w"):
                raise InvalidKernel(
                    f"has {shown(name)}, which is no axis; axes are named by side and name, such as '0.c' or '1.h'"
                )
        if len(set(names)) != len(names):
            raise InvalidKernel(f"names an axis twice: {shown(names)}")
        return tuple(names)

    return _attribute(Codec("axes", read, list))


def axis() -> Any:
    """The name of one axis along which places have an order, such as "0.c". Whether it exists is the primitive's rule."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value[:2] not in ("0.", "1.") or value[2:] not in ("c", "h", "w"):
            raise InvalidKernel(f"must name an axis c, h or w with its side, such as '0.c' or '1.h', not {shown(value)}")
        return value

    return _attribute(Codec("axis", read))


def side() -> Any:
    """Which side, 0 or 1; None (left out) is the first channel side."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or value not in (0, 1) or not isinstance(value, int):
            raise InvalidKernel(f"must be 0 or 1, not {shown(value)}")
        return value

    return _attribute(Codec("side", read), None)
