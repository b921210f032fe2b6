"""Dims of any size form an exact algebra: compared with sympy, by whatever path they were made."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import NamedTuple

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from kas.language import Dim, Infeasible
from kas.language.dims import FREE_VARIABLES, MAX_NUMBER, ONE, SYMBOLS

_SYMPY = {name: sympy.Symbol(name, positive=True, integer=True) for name in SYMBOLS}
_PRIMES = (2, 3, 5, 7, 11, 97, 65537, MAX_NUMBER)  # the last is a prime


class Monomial(NamedTuple):
    """The model of a dim: a fraction and the powers of symbols that occur."""

    number: Fraction
    powers: dict[str, int]

    @property
    def expression(self) -> sympy.Expr:
        rational = sympy.Rational(self.number.numerator, self.number.denominator)
        return sympy.Mul(rational, *(_SYMPY[name] ** power for name, power in self.powers.items()))

    def factors(self) -> list[tuple[str, int]]:
        """Symbols and primes with their powers; the product of all is the monomial."""
        found = [(str(p), sum(1 for _ in _times(self.number.numerator, p))) for p in _PRIMES]
        found += [(str(p), -sum(1 for _ in _times(self.number.denominator, p))) for p in _PRIMES]
        return [*((name, power) for name, power in found if power), *self.powers.items()]


def _times(number: int, prime: int) -> list[int]:
    """One entry for each time that a prime divides a number."""
    found = []
    while number % prime == 0:
        number //= prime
        found.append(prime)
    return found


def made(monomial: Monomial) -> Dim:
    """The dim, by multiplying and dividing factor after factor."""
    dim = ONE
    for name, power in monomial.factors():
        for _ in range(abs(power)):
            dim = dim * Dim.of(name) if power > 0 else dim / Dim.of(name)
    return dim


_numbers = st.dictionaries(st.sampled_from(_PRIMES), st.integers(-2, 3), max_size=3).map(
    lambda powers: prod((Fraction(prime) ** power for prime, power in powers.items()), start=Fraction(1))
)
_small = st.sampled_from([Fraction(1), Fraction(9), Fraction(1, 4), Fraction(6), Fraction(2, 3)])


def _powers(names: tuple[str, ...], low: int, high: int, most: int) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(names), st.integers(low, high).filter(bool), max_size=most)


monomials = st.builds(Monomial, _numbers, _powers(SYMBOLS, -4, 4, 5))
nearly_legal = st.builds(  # half of these are legal dims
    lambda number, powers, free: Monomial(number, {**powers, **free}),
    _small,
    st.dictionaries(st.sampled_from("CHWG"), st.integers(-1, 2).filter(bool), max_size=3),
    st.one_of(st.just({}), _powers(FREE_VARIABLES, 1, 1, 1), _powers(FREE_VARIABLES, -1, 2, 2)),
)


def is_same(dim: Dim, expression: sympy.Expr) -> bool:
    """Whether a dim, as it says of itself, is a monomial of sympy (which keeps these in one form)."""
    own = Monomial(Fraction(dim.numerator, dim.denominator), dict(zip(SYMBOLS, dim.powers, strict=True)))
    return bool(own.expression == expression)


@settings(deadline=None)
@given(monomials, monomials)
def test_products_and_quotients(a: Monomial, b: Monomial) -> None:
    one, two = made(a), made(b)
    assert is_same(one, a.expression)
    assert is_same(one * two, a.expression * b.expression)
    assert is_same(one / two, a.expression / b.expression)


@settings(deadline=None)
@given(monomials, monomials, monomials)
def test_laws_of_a_commutative_group(a: Monomial, b: Monomial, c: Monomial) -> None:
    one, two, three = made(a), made(b), made(c)
    assert one * two is two * one
    assert (one * two) * three is one * (two * three)
    assert one * ONE is one
    assert one / one is ONE
    assert (one / two) * two is one
    assert one / (two * three) is (one / two) / three
    assert ONE / (ONE / one) is one


@settings(deadline=None)
@given(monomials, st.randoms(use_true_random=False))
def test_a_dim_does_not_depend_on_how_it_was_made(monomial: Monomial, random) -> None:
    factors = [(name, 1 if power > 0 else -1) for name, power in monomial.factors() for _ in range(abs(power))]
    random.shuffle(factors)
    dim = ONE
    for name, sign in factors:
        dim = dim * Dim.of(name) if sign > 0 else dim / Dim.of(name)
    assert dim is made(monomial)


@settings(deadline=None)
@given(monomials)
def test_text_round_trip(monomial: Monomial) -> None:
    dim = made(monomial)
    assert sympy.sympify(dim.text, locals=_SYMPY) == monomial.expression
    if max(dim.numerator, dim.denominator) <= MAX_NUMBER:
        assert Dim.of(dim.text) is dim


@settings(deadline=None)
@given(nearly_legal)
def test_canonical_text_of_legal_dims(monomial: Monomial) -> None:
    dim = made(monomial)
    if dim.fault:
        return
    above, *below = dim.text.split("/")
    factors = above.split("*")
    numbers = [word for word in factors if word.isdigit()]
    symbols = [word for word in factors if not word.isdigit()]
    assert len(numbers) <= 1
    assert numbers == factors[: len(numbers)]
    assert "1" not in numbers or not symbols
    assert symbols == sorted(symbols, key=SYMBOLS.index)
    assert [word for word in below if not word.isdigit()] == ["G"] * max(-dim.power_of("G"), 0)


def is_legal(monomial: Monomial) -> bool:
    """The invariants of design section 2, read off the model."""
    powers = {name: monomial.powers.get(name, 0) for name in SYMBOLS}
    free = [powers[name] for name in FREE_VARIABLES if powers[name]]
    if free not in ([], [1]) or min(powers["C"], powers["H"], powers["W"]) < 0:
        return False
    if max(monomial.number.numerator, monomial.number.denominator) > MAX_NUMBER:
        return False
    if not any(powers.values()):
        return monomial.number.denominator == 1
    return -powers["G"] <= powers["C"]


@settings(deadline=None, max_examples=300)
@given(st.one_of(nearly_legal, monomials))
def test_faults_are_the_invariants(monomial: Monomial) -> None:
    dim = made(monomial)
    assert (dim.fault == "") == is_legal(monomial), (dim.text, dim.fault)
    assert dim.variables == tuple(name for name in FREE_VARIABLES if monomial.powers.get(name))


@settings(deadline=None)
@given(st.one_of(nearly_legal, monomials), st.lists(st.integers(1, 40), min_size=len(SYMBOLS), max_size=len(SYMBOLS)))
def test_values_are_those_of_sympy(monomial: Monomial, numbers: list[int]) -> None:
    values = dict(zip(SYMBOLS, numbers, strict=True))
    exact = monomial.expression.subs({_SYMPY[name]: number for name, number in values.items()})
    dim = made(monomial)
    assert dim.rational(values) == Fraction(int(exact.p), int(exact.q))
    if exact.q == 1:
        assert dim.value(values) == int(exact)
    else:
        with pytest.raises(Infeasible, match="not an integer of at least 1"):
            dim.value(values)


@settings(deadline=None)
@given(monomials, monomials, monomials)
def test_substitution_is_that_of_sympy_and_keeps_products(a: Monomial, b: Monomial, by: Monomial) -> None:
    one, two, put = made(a), made(b), made(by)
    for name in ("x0", "x15"):
        assert is_same(one.replaced(name, put), a.expression.subs(_SYMPY[name], by.expression))
        assert (one * two).replaced(name, put) is one.replaced(name, put) * two.replaced(name, put)


@pytest.mark.parametrize("symbol", ["C", "G", "x0", "x15", "2", "7", "97"])
def test_high_powers_do_not_spill_into_other_factors(symbol: str) -> None:
    base, power = Dim.of(symbol), ONE
    for _ in range(300):
        power = power * base
    expected = sympy.sympify(symbol, locals=_SYMPY) ** 300
    assert is_same(power, expected)
    assert is_same(ONE / power, 1 / expected)
    for _ in range(300):
        power = power / base
    assert power is ONE
