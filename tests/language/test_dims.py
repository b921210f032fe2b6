"""Dims: an exact algebra of monomials, its text form and its invariants."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from kas.language import Dim, Infeasible, InvalidKernel
from kas.language.dims import FREE_VARIABLES, MAX_NUMBER, ONE, SYMBOLS

_SYMPY = {name: sympy.Symbol(name, positive=True, integer=True) for name in SYMBOLS}


@st.composite
def texts(draw: st.DrawFn) -> str:
    factors = draw(
        st.lists(st.sampled_from(["2", "3", "9", "12", "C", "H", "W", "G", "x0", "x7", "x15"]), min_size=1, max_size=6)
    )
    joints = draw(st.lists(st.sampled_from("**/"), min_size=len(factors) - 1, max_size=len(factors) - 1))
    return "".join(a + b for a, b in zip(["", *joints], factors, strict=True))


def _sympy(text: str) -> sympy.Expr:
    return sympy.sympify(text, locals=_SYMPY)


@given(texts(), texts())
def test_products_and_quotients_are_those_of_sympy(a: str, b: str) -> None:
    one, two = Dim.of(a), Dim.of(b)
    assert sympy.simplify(_sympy(a) * _sympy(b) - _sympy((one * two).text)) == 0
    assert sympy.simplify(_sympy(a) / _sympy(b) - _sympy((one / two).text)) == 0
    assert one * two is two * one
    assert (one * two) / two is one
    assert one / one is ONE


@given(texts(), texts(), texts())
def test_multiplication_is_associative(a: str, b: str, c: str) -> None:
    one, two, three = Dim.of(a), Dim.of(b), Dim.of(c)
    assert (one * two) * three is one * (two * three)


@given(texts())
def test_equal_monomials_are_one_object(text: str) -> None:
    dim = Dim.of(text)
    assert copy.deepcopy(dim) is dim
    assert pickle.loads(pickle.dumps(dim)) is dim
    if dim.text[0] != "/" and all(part for part in dim.text.split("*")):
        assert Dim.of(dim.text) is dim


@given(texts(), st.lists(st.integers(1, 30), min_size=len(SYMBOLS), max_size=len(SYMBOLS)))
def test_values_are_exact(text: str, numbers: list[int]) -> None:
    values = dict(zip(SYMBOLS, numbers, strict=True))
    exact = _sympy(text).subs({_SYMPY[name]: number for name, number in values.items()})
    dim = Dim.of(text)
    assert dim.rational(values) == Fraction(int(exact.p), int(exact.q))
    if exact.q == 1:
        assert dim.value(values) == int(exact)
    else:
        with pytest.raises(Infeasible, match="not an integer of at least 1"):
            dim.value(values)


@given(texts(), texts())
def test_replaced_is_substitution(text: str, by: str) -> None:
    replaced = Dim.of(text).replaced("x7", Dim.of(by))
    assert sympy.simplify(_sympy(text).subs(_SYMPY["x7"], _sympy(by)) - _sympy(replaced.text)) == 0


@given(texts())
def test_faults_are_the_invariants(text: str) -> None:
    powers = _sympy(text).as_powers_dict()
    free = [powers.get(_SYMPY[name], 0) for name in FREE_VARIABLES]
    c, h, w, g = (powers.get(_SYMPY[name], 0) for name in "CHWG")
    numbers = [base for base in powers if base.is_number]
    rational = sympy.prod([base ** powers[base] for base in numbers])
    legal = min(free) >= 0 and sum(free) <= 1 and min(c, h, w) >= 0 and -g <= c
    alone = not any([*free, c, h, w, g])
    assert (Dim.of(text).fault == "") == (legal and not (alone and sympy.Rational(rational).q != 1))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("C", "C"),
        (1, "1"),
        (7, "7"),
        ("1", "1"),
        ("x0*9", "9*x0"),
        ("C*H/4", "C*H/4"),
        ("H*C/2/2", "C*H/4"),
        ("C*C", "C*C"),
        ("W*H*C*G*x3*6", "6*C*H*W*G*x3"),
        ("C/G/2", "C/2/G"),
        ("4*C/2", "2*C"),
        ("x10*2", "2*x10"),
        ("C/G*G", "C"),
    ],
)
def test_canonical_text(text: str | int, canonical: str) -> None:
    assert Dim.of(text).text == canonical


@pytest.mark.parametrize(
    "text",
    ["", "c", "C*", "*C", "C**H", "0", "0*C", "-1", "C+1", "x16", "x", "x01", "1.5", "C / 4", " C", "C\n", "١", "C^2", "01"],
)
def test_what_is_no_dim(text: str) -> None:
    with pytest.raises(InvalidKernel, match="is not a dim"):
        Dim.of(text)


@pytest.mark.parametrize("value", [True, None, 1.0, [1], 0, -3, 2**31])
def test_what_is_no_dim_by_type_or_size(value: object) -> None:
    with pytest.raises(InvalidKernel):
        Dim.of(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x0*x1", "more than one free variable"),
        ("x0*x0", "more than one free variable"),
        ("C/x0", "a free variable in the denominator"),
        ("C/H", "H in the denominator"),
        ("H/C", "C in the denominator"),
        ("x0/G", "divides by G more often than C"),
        ("C/G/G", "divides by G more often than C"),
        ("1/2", "is not an integer"),
        (f"{MAX_NUMBER}*2", "a number of 2\\^31 or more"),
        ("C/4", ""),
        ("C/G", ""),
        ("C*C/G/G", ""),
        ("G*x0", ""),
        ("x0/4", ""),
    ],
)
def test_fault(text: str, fault: str) -> None:
    import re

    found = Dim.of(text).fault
    assert re.search(fault, found) if fault else found == ""


def test_a_missing_value_is_named() -> None:
    with pytest.raises(Infeasible, match="the dim 2\\*x0 needs a value for x0"):
        Dim.of("2*x0").value({"C": 4})
