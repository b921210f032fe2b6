"""Solving for one free variable, against sympy and enumeration."""

from __future__ import annotations

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from kas.language.dims import ONE, SYMBOLS, Dim
from kas.language.errors import InvalidKernel
from kas.language.kernel import Kernel
from kas.language.rules import trace
from kas.solvers.shapes import factor_solutions, solutions, substitute

_WORDS = ("2", "3", "9", "C", "H", "W", "G", "x0", "x1")
products = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map("*".join).map(Dim.of)


def _texts(found):
    return [(variable, dim.text) for variable, dim in found]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("x0*C", "9*x1", [("x1", "C*x0/9")]),
        ("x0", "x1", [("x0", "x1"), ("x1", "x0")]),
        ("9*x0", "C", [("x0", "C/9")]),
        ("G*x0", "C", [("x0", "C/G")]),
        ("x0", "C/G/G", []),
        ("x0*C", "C", [("x0", "1")]),
        ("x0*C", "x0*H", []),
        ("C", "C", []),
        ("C", "H", []),
        ("x0*x0", "4*C*C", [("x0", "2*C")]),
        ("x0*x0", "2*C*C", []),
        ("x0*x0", "C*H", []),
        ("x0*C", "H", []),
    ],
)
def test_solutions(left, right, expected):
    assert _texts(solutions(Dim.of(left), Dim.of(right))) == expected


@settings(deadline=None, max_examples=60, derandomize=True)
@given(products, products)
def test_solutions_hold_and_none_is_missed(left, right):
    names = {name: sympy.Symbol(name, positive=True) for name in SYMBOLS}
    a, b = (sympy.sympify(d.text, locals=names) for d in (left, right))
    found = dict(solutions(left, right))
    for name in {*left.variables, *right.variables}:
        roots = [] if a == b else sympy.solve(sympy.Eq(a, b), names[name])
        legal = [r for r in map(sympy.simplify, roots) if _is_legal(r, names)]
        assert (name in found) == bool(legal)
        if name in found:
            assert sympy.simplify(sympy.sympify(found[name].text, locals=names) - legal[0]) == 0
            assert left.replaced(name, found[name]) is right.replaced(name, found[name])


def _is_legal(root, names):
    """The invariants of a dim, read off the sympy monomial."""
    number, rest = root.as_coeff_Mul()
    powers = rest.as_powers_dict()
    if not number.is_Rational or any(not p.is_Integer for p in powers.values()):
        return False
    power = {name: powers.get(symbol, 0) for name, symbol in names.items()}
    free = [power[n] for n in power if n[0] == "x"]
    if min(free) < 0 or sum(free) > 1 or min(power["C"], power["H"], power["W"]) < 0 or -power["G"] > power["C"]:
        return False
    return number.is_Integer or any(power.values())


def test_factor_solutions_are_all_factors():
    assert _texts(factor_solutions(Dim.of("x0"), Dim.of("9*C"))) == [
        ("x0", text) for text in ("9*C", "3*C", "C", "9", "3", "1")
    ]
    assert {text for _, text in _texts(factor_solutions(Dim.of("x0"), Dim.of("C"), groups=True))} == {"C", "C/G", "G", "1"}
    assert _texts(factor_solutions(Dim.of("C"), Dim.of("9*x0"))) == [("x0", "C/9")]
    assert _texts(factor_solutions(Dim.of("2*x0"), Dim.of("C"))) == [("x0", "C/2"), ("x0", "1")]


@settings(deadline=None, derandomize=True)
@given(products, products)
def test_factor_solutions_keep_the_invariants(left, right):
    found = factor_solutions(left, right)
    assert len(found) == len(set(found))
    for name, dim in found:
        assert not dim.fault
        assert name not in dim.variables
        quotient = right.replaced(name, dim) / left.replaced(name, dim)
        assert quotient is ONE or not quotient.fault


def test_substitute_goes_through_all_steps_and_trace_tells():
    kernel = Kernel.from_json(
        {
            "format": "kas.kernel/1",
            "rank": 2,
            "steps": [
                {"op": "fc", "ins": [0], "to": "G*x0"},
                {"op": "group", "ins": [1], "by": "G"},
                {"op": "relu", "ins": [2]},
                {"op": "fc", "ins": [3], "to": "C"},
            ],
        }
    )
    solved = substitute(kernel.steps, "x0", Dim.of("C/G"))
    assert [step.to_dict().get("to") for step in solved] == ["C", None, None, "C"]
    assert solved[1] is kernel.steps[1]
    assert trace(2, solved)[0].shape.product is Dim.of("C*H*W")
    with pytest.raises(InvalidKernel, match=r"step 2 \(group\): c/by would be C/G/G"):
        trace(2, substitute(kernel.steps, "x0", Dim.of("C/G/G")))


def test_substitute_refuses_nonsense():
    with pytest.raises(ValueError, match="no free variable"):
        substitute((), "C", ONE)
    with pytest.raises(ValueError, match="contains it"):
        substitute((), "x0", Dim.of("2*x0"))
