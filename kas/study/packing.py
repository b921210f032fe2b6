"""Packing the operands and attributes of one step into an integer below 2^53, and back.

Mixed radix: each part is a digit of its own base. Attributes are packed by the kind of their codec, so a new primitive
needs nothing here.
"""

from __future__ import annotations

from math import gcd
from typing import Any

from kas.language import OPS, Dim, InvalidKernel, Step
from kas.language.attributes import Codec

__all__ = ["pack", "unpack"]

LIMIT = 2**53
_NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 25, 32, 49, 64, 81)
# Further numbers, of dims without C: they stand where C would be missing above a G, which no dim has.
_RARE_NUMBERS = (10, 11, 13, 14, 15, 18, 20, 24, 27, 36, 48, 96, 100, 121, 128, 256)
_DIVISORS = (1, 2, 3, 4, 8, 16)
# Fractions that have no digits of their own, `x0/7` or `14*C` among them: they stand where a number and a divisor share a
# factor, which no dim has. Append only: a place in the table is stored.
_FURTHER = (
    *((1, 5), (1, 6), (1, 7), (1, 9), (1, 10), (1, 12), (1, 14), (1, 25), (1, 32), (1, 49)),
    *((2, 5), (2, 7), (2, 9), (3, 5), (3, 7), (4, 5), (4, 7), (4, 9)),
    *((10, 1), (14, 1), (15, 1), (18, 1), (20, 1), (21, 1), (24, 1), (27, 1), (28, 1), (35, 1), (36, 1), (45, 1), (63, 1)),
)
_UNREDUCED = [(number, divisor) for number in _NUMBERS for divisor in _DIVISORS if gcd(number, divisor) > 1]
_STANDING_FOR = dict(zip(_FURTHER, _UNREDUCED, strict=False))
_MEANT_BY = {pair: fraction for fraction, pair in _STANDING_FOR.items()}
_AXES = tuple(f"{side}.{name}" for side in "01" for name in ("g", "c", "kh", "kw", "h", "w"))
# The powers of C, H, W, G and the free variable (0 for none) that a packed dim can have: (base, lowest).
_POWERS = (("C", 4, 0), ("H", 2, 0), ("W", 2, 0), ("G", 3, -1))
_SHIFTS = 17  # the shifts of parts lie between -8 and 8
# Shifts of parts that are too many to be written one by one: to all nine neighbours. The place in the table is stored.
_PATTERNS = (tuple((h, w) for h in (-1, 0, 1) for w in (-1, 0, 1)),)
_MOST_PATTERNS = 16
_SMALL = 64  # kernel sizes, dilations; shifts lie between -32 and 31

Digits = list[tuple[int, int]]  # (digit, base)


class _TooRare(Exception):
    """A value that has no digit."""


def _index(items: tuple[Any, ...], value: Any) -> tuple[int, int]:
    if value not in items:
        raise _TooRare
    return items.index(value), len(items)


def _dim_digits(dim: Dim) -> Digits:
    rare = dim.numerator in _RARE_NUMBERS and not dim.power_of("C") and not dim.power_of("G")
    number, divisor = fraction = dim.numerator, dim.denominator
    if not rare:
        number, divisor = _STANDING_FOR.get(fraction, fraction)
    digits = [_index(_RARE_NUMBERS if rare else _NUMBERS, number), _index(_DIVISORS, divisor)]
    for symbol, base, low in _POWERS:
        digit = 0 if rare and symbol == "G" else dim.power_of(symbol) - low
        if not 0 <= digit < base:
            raise _TooRare
        digits.append((digit, base))
    digits.append((int(dim.variables[0][1:]) + 1 if dim.variables else 0, 17))
    return digits


def _small(value: int, low: int = 0) -> tuple[int, int]:
    if not 0 <= value - low < _SMALL:
        raise _TooRare
    return value - low, _SMALL


def _shift(value: int) -> tuple[int, int]:
    if abs(value) > _SHIFTS // 2:
        raise _TooRare
    return value + _SHIFTS // 2, _SHIFTS


def _axes_digits(axes: tuple[str, ...]) -> Digits:
    if list(axes) != sorted(axes, key=_AXES.index):
        raise _TooRare
    return [(sum(1 << _AXES.index(name) for name in axes), 1 << len(_AXES))]


def _digits(codec: Codec, value: Any) -> Digits:
    kind = codec.kind
    if kind == "dim":
        return _dim_digits(value)
    if kind == "pairs" and value in _PATTERNS:
        return [(0, 8), (_PATTERNS.index(value), _MOST_PATTERNS)]
    if kind in ("dims", "pairs") and len(value) > 7:
        raise _TooRare
    if kind == "dims":
        return [(len(value), 8), *(digit for dim in value for digit in _dim_digits(dim))]
    if kind == "axes":
        return _axes_digits(value)
    if kind == "axis":
        return [_index(_AXES, value)]
    if kind == "choice":
        return [_index(codec.choices, value)]
    if kind == "names":
        return [(sum(1 << codec.choices.index(name) for name in value), 1 << len(codec.choices))]
    if kind == "pairs":
        return [(len(value), 8), *(_shift(by) for pair in value for by in pair)]
    if kind == "flag":
        return [(int(value), 2)]
    if kind == "side":
        return [(0 if value is None else value + 1, 3)]
    if kind == "signed":
        return [_small(value, -_SMALL // 2)]
    if kind in ("flags", "pair"):
        return [(int(v), 2) if kind == "flags" else _small(v) for v in value]
    return [_small(value)]


def pack(step: Step) -> int | None:
    """The integer of a step's operands and attributes, None if it does not fit below 2^53."""
    try:
        digits = [_small(i) for i in step.ins]
        for name, (codec, _) in step.codecs().items():
            digits.extend(_digits(codec, getattr(step, name)))
    except _TooRare:
        return None
    packed, base_so_far = 0, 1
    for digit, base in digits:
        packed += digit * base_so_far
        base_so_far *= base
    return packed if packed < LIMIT else None


class _Reader:
    """Takes the digits off a packed integer, in the order in which they were put on."""

    def __init__(self, packed: int):
        self.rest = packed

    def take(self, base: int) -> int:
        self.rest, digit = divmod(self.rest, base)
        return digit

    def dim(self) -> str:
        place, divisor = self.take(len(_NUMBERS)), _DIVISORS[self.take(len(_DIVISORS))]
        powers = {symbol: self.take(base) + low for symbol, base, low in _POWERS}
        rare = powers["G"] < 0 and not powers["C"]
        number = (_RARE_NUMBERS if rare else _NUMBERS)[place]
        if not rare:
            number, divisor = _MEANT_BY.get((number, divisor), (number, divisor))
        dim = Dim.of(number) / Dim.of(divisor)
        for symbol, power in ({**powers, "G": 0} if rare else powers).items():
            for _ in range(abs(power)):
                dim = dim * Dim.of(symbol) if power > 0 else dim / Dim.of(symbol)
        variable = self.take(17)
        return (dim * Dim.of(f"x{variable - 1}") if variable else dim).text

    def _pattern(self) -> tuple[tuple[int, int], ...]:
        number = self.take(_MOST_PATTERNS)
        return _PATTERNS[number] if number < len(_PATTERNS) else ()

    def attribute(self, codec: Codec) -> Any:
        """The JSON value of one attribute; None for a side that is not written."""
        kind = codec.kind
        if kind == "dim":
            return self.dim()
        if kind == "dims":
            return [self.dim() for _ in range(self.take(8))]
        if kind == "axes":
            bits = self.take(1 << len(_AXES))
            return [name for i, name in enumerate(_AXES) if bits >> i & 1]
        if kind == "axis":
            return _AXES[self.take(len(_AXES))]
        if kind == "choice":
            return codec.choices[self.take(len(codec.choices))]
        if kind == "names":
            bits = self.take(1 << len(codec.choices))
            return [name for i, name in enumerate(codec.choices) if bits >> i & 1]
        if kind == "pairs":
            count, half = self.take(8), _SHIFTS // 2
            if not count:
                return [list(by) for by in self._pattern()]
            return [[self.take(_SHIFTS) - half, self.take(_SHIFTS) - half] for _ in range(count)]
        if kind == "flag":
            return bool(self.take(2))
        if kind == "side":
            return (None, 0, 1)[self.take(3)]
        if kind == "signed":
            return self.take(_SMALL) - _SMALL // 2
        if kind == "flags":
            return [bool(self.take(2)), bool(self.take(2))]
        if kind == "pair":
            return [self.take(_SMALL), self.take(_SMALL)]
        return self.take(_SMALL)


def unpack(op: str, packed: int) -> dict[str, Any]:
    """The JSON object of a step. Whether it is legal is seen when the kernel is read."""
    if op not in OPS:
        raise InvalidKernel(f"unknown op {op!r}")
    reader = _Reader(packed)
    entry: dict[str, Any] = {"op": op, "ins": [reader.take(_SMALL) for _ in range(OPS[op].arity)]}
    for name, (codec, _) in OPS[op].codecs().items():
        value = reader.attribute(codec)
        if value is not None:
            entry[name] = value
    return entry
