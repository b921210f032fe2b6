"""Dims: exact monomials, a positive rational times integer powers of symbols.

Every dim is interned: equal monomials are one object, so `==` is identity and products are looked up, not computed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import gcd
from operator import add, sub

from kas.language.errors import Infeasible, InvalidKernel, shown

__all__ = ["FREE_VARIABLES", "MAX_NUMBER", "ONE", "SYMBOLS", "Dim"]

FREE_VARIABLES = tuple(f"x{i}" for i in range(16))
SYMBOLS = ("C", "H", "W", "G", *FREE_VARIABLES)
MAX_NUMBER = 2**31 - 1
MAX_POWER = 16
MAX_TEXT = 200  # characters of a dim

_INDEX = {symbol: i for i, symbol in enumerate(SYMBOLS)}
_NO_POWERS = (0,) * len(SYMBOLS)
_FACTOR = r"(?:[1-9][0-9]*|C|H|W|G|x(?:1[0-5]|[0-9]))"
_TEXT = re.compile(rf"{_FACTOR}(?:[*/]{_FACTOR})*", re.ASCII)


class Dim:
    """An interned monomial, for example `C`, `9*x0` or `C*H/4`.

    Attributes:
        numerator, denominator: the rational factor in lowest terms.
        powers: the exponent of each of `SYMBOLS`. factors: symbol and exponent of those that occur.
        variables: names of the free variables that occur, in order.
        fault: why it is no legal dim of a kernel ("" if it is one).
        text: the canonical text form.
    """

    __slots__ = ("_products", "_quotients", "denominator", "factors", "fault", "numerator", "powers", "text", "variables")

    numerator: int
    denominator: int
    powers: tuple[int, ...]
    factors: tuple[tuple[str, int], ...]
    variables: tuple[str, ...]
    fault: str
    text: str
    _products: dict[Dim, Dim]
    _quotients: dict[Dim, Dim]

    @staticmethod
    def of(value: str | int) -> Dim:
        """Read a dim from its text form, or a positive integer. Raises InvalidKernel for anything else."""
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= MAX_NUMBER:
                raise InvalidKernel(f"a number in a dim must be between 1 and 2^31 - 1, not {shown(value)}")
            return _intern(value, 1, _NO_POWERS)
        if not isinstance(value, str):
            raise InvalidKernel(f"a dim must be a text such as 'C/4' or an integer, not {shown(value)}")
        known = _BY_TEXT.get(value)
        if known is None:
            known = _parse(value)
            _BY_TEXT[value] = known
        return known

    @staticmethod
    def symbol(name: str) -> Dim:
        """The dim that is one symbol."""
        return _BY_TEXT[name]

    def __mul__(self, other: Dim) -> Dim:
        product = self._products.get(other)
        if product is None:
            product = _make(
                self.numerator * other.numerator,
                self.denominator * other.denominator,
                tuple(map(add, self.powers, other.powers)),
            )
            self._products[other] = product
        return product

    def __truediv__(self, other: Dim) -> Dim:
        quotient = self._quotients.get(other)
        if quotient is None:
            quotient = _make(
                self.numerator * other.denominator,
                self.denominator * other.numerator,
                tuple(map(sub, self.powers, other.powers)),
            )
            self._quotients[other] = quotient
        return quotient

    def power_of(self, symbol: str) -> int:
        """The exponent of a symbol."""
        return self.powers[_INDEX[symbol]]

    def replaced(self, variable: str, by: Dim) -> Dim:
        """The dim with a free variable replaced by a monomial."""
        power = self.powers[_INDEX[variable]]
        if power == 0:
            return self
        rest, factor = self, _BY_TEXT[variable]
        for _ in range(abs(power)):
            rest = rest / factor * by if power > 0 else rest * factor / by
        return rest

    def fraction(self, values: Mapping[str, int]) -> tuple[int, int]:
        """Numerator and denominator of the value, not in lowest terms; `values` as for `rational`."""
        numerator, denominator = self.numerator, self.denominator
        for symbol, power in self.factors:
            if power > 0:
                numerator *= values[symbol] ** power
            else:
                denominator *= values[symbol] ** -power
        return numerator, denominator

    def rational(self, values: Mapping[str, int]) -> Fraction:
        """The exact value. `values` maps every symbol that occurs to a positive integer; KeyError if one is missing."""
        return Fraction(*self.fraction(values))

    def value(self, values: Mapping[str, int]) -> int:
        """The value as a positive integer. Raises Infeasible with the dim and the value otherwise."""
        try:
            numerator, denominator = self.fraction(values)
        except KeyError as missing:
            raise Infeasible(f"the dim {self.text} needs a value for {missing.args[0]}") from None
        if numerator % denominator or numerator < denominator:
            exact = Fraction(numerator, denominator)
            raise Infeasible(f"the dim {self.text} is {exact}, which is not an integer of at least 1")
        return numerator // denominator

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Dim({self.text!r})"

    def __reduce__(self) -> tuple[object, tuple[int, int, tuple[int, ...]]]:
        return _intern, (self.numerator, self.denominator, self.powers)


_INTERNED: dict[tuple[int, int, tuple[int, ...]], Dim] = {}
_BY_TEXT: dict[str, Dim] = {}


def _intern(numerator: int, denominator: int, powers: tuple[int, ...]) -> Dim:
    """The one object for a factor in lowest terms and powers."""
    key = (numerator, denominator, powers)
    known = _INTERNED.get(key)
    if known is None:
        known = Dim.__new__(Dim)
        known.numerator, known.denominator, known.powers = key
        known.factors = tuple([(symbol, power) for symbol, power in zip(SYMBOLS, powers, strict=True) if power])
        known.variables = tuple([symbol for symbol, _ in known.factors if symbol[0] == "x"])
        known.text = _text(known)
        known.fault = _fault(known)
        known._products, known._quotients = {}, {}
        known = _INTERNED.setdefault(key, known)
    return known


def _make(numerator: int, denominator: int, powers: tuple[int, ...]) -> Dim:
    divisor = gcd(numerator, denominator)
    return _intern(numerator // divisor, denominator // divisor, powers)


def _text(dim: Dim) -> str:
    above = [symbol for symbol, power in dim.factors for _ in range(power)]
    below = [symbol for symbol, power in dim.factors for _ in range(-power)]
    if dim.numerator != 1 or not above:
        above.insert(0, str(dim.numerator))
    if dim.denominator != 1:
        below.insert(0, str(dim.denominator))
    return "*".join(above) + "".join([f"/{factor}" for factor in below])


def _fault(dim: Dim) -> str:
    """Why a monomial is no legal dim: the invariants that hold for every dim and every quotient of a rule."""
    powers = dict(dim.factors)
    free = [powers[name] for name in dim.variables]
    if free and min(free) < 0:
        return "has a free variable in the denominator"
    if sum(free) > 1:
        return "has more than one free variable, or one with a power over 1"
    for symbol in ("C", "H", "W"):
        if powers.get(symbol, 0) < 0:
            return f"has {symbol} in the denominator, where only integers and G may stand"
    if -powers.get("G", 0) > powers.get("C", 0):
        return "divides by G more often than C stands above"
    if dim.denominator != 1 and not powers:
        return "is not an integer"
    if max(map(abs, powers.values()), default=0) > MAX_POWER:
        return f"has a power over {MAX_POWER}"
    if dim.numerator > MAX_NUMBER or dim.denominator > MAX_NUMBER:
        return "has a number of 2^31 or more"
    return ""


def _parse(text: str) -> Dim:
    if len(text) > MAX_TEXT or not _TEXT.fullmatch(text):
        raise InvalidKernel(
            f"{shown(text)} is not a dim: positive integers, C, H, W, G and x0 … x15 joined by * and /, such as 'C*H/4'"
        )
    words = re.split(r"([*/])", text)
    fraction, powers = Fraction(1), [0] * len(SYMBOLS)
    for joint, word in zip(["*", *words[1::2]], words[::2], strict=True):
        up = joint == "*"
        if word in _INDEX:
            powers[_INDEX[word]] += 1 if up else -1
        elif len(word) > 10 or int(word) > MAX_NUMBER:
            raise InvalidKernel(f"a number in a dim must be between 1 and 2^31 - 1, not {word[:40]}")
        else:
            fraction = fraction * int(word) if up else fraction / int(word)
    return _make(fraction.numerator, fraction.denominator, tuple(powers))


ONE = _intern(1, 1, _NO_POWERS)
for _i, _symbol in enumerate(SYMBOLS):
    _BY_TEXT[_symbol] = _intern(1, 1, tuple(int(_i == j) for j in range(len(SYMBOLS))))
