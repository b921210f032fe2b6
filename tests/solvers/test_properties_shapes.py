"""The shape solver against enumeration: on small spaces of monomials every solution is right and none is missed."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kas.language import InvalidKernel, Kernel
from kas.language.dims import ONE, SYMBOLS, Dim
from kas.language.primitives import OPS, Step
from kas.language.rules import trace
from kas.solvers.shapes import factor_solutions, solutions, substitute

_NUMBERS = [Fraction(a, b) for a, b in product((1, 2, 3, 4, 6, 9, 12, 18), (1, 2, 3, 4, 9))]


def _power(symbol: str, power: int) -> Dim:
    dim = ONE
    for _ in range(abs(power)):
        dim = dim * Dim.of(symbol) if power > 0 else dim / Dim.of(symbol)
    return dim


def _space() -> list[Dim]:
    """Every legal dim of small numbers and powers of C, H, G, x0 and x1."""
    numbers = [Dim.of(n.numerator) / Dim.of(n.denominator) for n in sorted(set(_NUMBERS))]
    c = [_power("C", p) for p in range(3)]
    h = [_power("H", p) for p in range(2)]
    g = [_power("G", p) for p in range(-2, 3)]
    free = [ONE, Dim.of("x0"), Dim.of("x1")]
    every = [a * b * d * e * f for a, b, d, e, f in product(numbers, c, h, g, free)]
    return [dim for dim in every if not dim.fault]


SPACE = _space()
_IN_SPACE = frozenset(SPACE)
_WORDS = ("2", "3", "9", "C", "H", "G", "x0", "x1")
_products = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map("*".join).map(Dim.of)
_quotients = st.tuples(_products, st.sampled_from(["1", "2", "9", "G"])).map(lambda pair: pair[0] / Dim.of(pair[1]))


def _variables(*dims: Dim) -> list[str]:
    return sorted({name for dim in dims for name in dim.variables})


def _key(dim: Dim) -> str:
    return dim.text


@settings(deadline=None, max_examples=60)
@given(_products, st.one_of(_products, _quotients))
def test_solutions_of_a_product_are_all_that_there_are(left: Dim, right: Dim) -> None:
    found = solutions(left, right)
    for name, dim in found:
        assert left.replaced(name, dim) is right.replaced(name, dim)
    for name in _variables(left, right) if left is not right else []:
        wanted = [m for m in SPACE if name not in m.variables and left.replaced(name, m) is right.replaced(name, m)]
        if left.power_of(name) == right.power_of(name):
            assert name not in dict(found)  # whatever is put in makes no difference
        else:
            assert sorted((m for n, m in found if n == name and m in _IN_SPACE), key=_key) == sorted(wanted, key=_key)


def _is_factor(dim: Dim, whole: Dim) -> bool:
    """Whether all powers, those of primes as well, lie between none and those of the whole."""
    powers = zip(dim.powers, whole.powers, strict=True)
    if any(not min(0, most) <= power <= max(0, most) for power, most in powers):
        return False
    return whole.numerator % dim.numerator == 0 and whole.denominator % dim.denominator == 0


@settings(deadline=None, max_examples=60)
@given(_products, st.one_of(_products, _quotients))
def test_factor_solutions_are_all_factors_that_leave_a_legal_dim(left: Dim, right: Dim) -> None:
    found = factor_solutions(left, right)
    for name in left.variables:
        if left.power_of(name) - right.power_of(name) != 1:
            continue
        whole = right / (left / Dim.of(name))
        wanted = [
            m
            for m in SPACE
            if name not in m.variables and _is_factor(m, whole) and not (right.replaced(name, m) / left.replaced(name, m)).fault
        ]
        assert sorted((m for n, m in found if n == name and m in _IN_SPACE), key=_key) == sorted(wanted, key=_key)


def _steps(*entries: dict[str, object]) -> list[Step]:
    return [OPS[str(entry["op"])].from_dict(entry) for entry in entries]


def _is_legal(steps: list[Step]) -> bool:
    try:
        trace(2, steps)
    except InvalidKernel:
        return False
    return True


_WIDTHS = ("C", "x0", "x1", "2*x0", "G*x0", "G*x1", "C/2", "9", "3*x1", "C/G", "6*C")
_widths = st.sampled_from(_WIDTHS)


def _branches(one: str, other: str, grouped: bool) -> list[Step]:
    """Two linear maps of the input to other widths, the second grouped by G if asked and if it can be."""
    steps = _steps({"op": "fc", "ins": [0], "to": one}, {"op": "fc", "ins": [0], "to": other})
    view = _steps({"op": "group", "ins": [2], "by": "G"})
    return [*steps, *view] if grouped and _is_legal([*steps, *view]) else steps


@settings(deadline=None, max_examples=40)
@given(_widths, _widths, st.booleans())
def test_substitution_makes_exactly_those_products_of_matrices_legal(one: str, other: str, grouped: bool) -> None:
    steps = _branches(one, other, grouped)
    join = _steps({"op": "matmul", "ins": [1, len(steps)], "t": [True, False], "softmax": False})
    left, right = Dim.of(one), Dim.of(other)
    assert _is_legal([*steps, *join]) == (left is right)
    found = set(solutions(left, right))
    for name in _variables(left, right) if left is not right else []:
        tried = [m for i, m in enumerate(SPACE) if i % 7 == 0 or left.replaced(name, m) is right.replaced(name, m)]
        for dim in (m for m in tried if name not in m.variables):
            solved = list(substitute(steps, name, dim))
            if _is_legal(solved):
                assert _is_legal([*solved, *join]) == ((name, dim) in found), (one, other, name, dim)


@settings(deadline=None, max_examples=40)
@given(_widths, _widths)
def test_factor_solutions_make_broadcasts_legal(one: str, other: str) -> None:
    steps = _branches(one, other, grouped=False)
    join = _steps({"op": "mul", "ins": [1, 2]})
    left, right = Dim.of(one), Dim.of(other)
    ratio = right / left
    assert _is_legal([*steps, *join]) == (ratio is ONE or not ratio.fault)
    for name, dim in factor_solutions(left, right, groups=True):
        solved = list(substitute(steps, name, dim))
        assert not _is_legal(solved) or _is_legal([*solved, *join])


def test_substitution_changes_only_what_has_the_variable() -> None:
    steps = _branches("x0", "G*x1", grouped=True)
    solved = substitute(steps, "x0", Dim.of("C/2"))
    assert [a is b for a, b in zip(steps, solved, strict=True)] == [False, True, True]
    with pytest.raises(InvalidKernel):
        Kernel(2, solved)  # two tensors are left open


def test_the_space_is_what_it_says() -> None:
    assert len(SPACE) == len(_IN_SPACE) > 1000
    used = {name for dim in SPACE for name, power in zip(SYMBOLS, dim.powers, strict=True) if power}
    assert used == {"C", "H", "G", "x0", "x1"}
