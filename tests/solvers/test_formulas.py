"""Formulas for people, and sympy as the oracle of costs and of the solver's polynomials."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import sympy
from solver_kernels import HAND, chain, kernel

from kas.language import Kernel, cost
from kas.solvers import Target, solve
from kas.solvers.formulas import formula, text


def _at(expression, target, groups, values):
    height, width = target.size
    numbers = {"C": target.channels, "H": height, "W": width, "G": groups, **values}
    symbols = sorted(expression.free_symbols, key=str)
    return sympy.lambdify(symbols, expression, "math")(*(numbers[s.name] for s in symbols))  # small: floats are exact


@pytest.mark.parametrize("name", HAND)
def test_formulas_agree_with_cost(name):
    _agrees(kernel(name), [Target("a", 24, 24, (12, 9)), Target("b", 48, 48, (6, 5))])


def test_formulas_of_random_chains_agree_with_cost():
    rng = random.Random(0)
    for _ in range(25):
        _agrees(chain(rng), [Target("a", 24, 24, (12, 9)), Target("b", 48, 48, (6, 5))])


def _agrees(program, targets):
    sizes, found = solve(program, targets, {"macs": 4.0}), formula(program)
    totals = dict.fromkeys(found, 0)
    for target in targets:
        values = sizes.values[target.name]
        real = cost(program, target.channels, target.size, sizes.groups, values)
        for key, expression in found.items():
            value = _at(expression, target, sizes.groups, values)
            assert value == getattr(real, key)
            totals[key] = max(totals[key], value) if key == "memory" else totals[key] + value
    assert [totals[key] for key in ("macs", "params", "memory", "work")] == [sizes.macs, sizes.params, sizes.memory, sizes.work]


def test_text_is_readable():
    found = text(kernel("bottleneck"))
    assert found["params"] == "x0*(2*C + 9*x0)"
    assert found["macs"] == "H*W*x0*(2*C + 9*x0)"
    assert found["elementwise"] == "H*W*x0"


def test_memory_lists_no_step_that_another_one_covers():
    assert text(kernel("bottleneck"))["memory"] == "Max(8*H*W*x0, 4*H*W*(C + x0))"
    expand = '{"format":"kas.kernel/1","rank":2,"steps":[{"op":"fc","ins":[0],"to":"3*C"},{"op":"relu","ins":[1]},'
    assert text(Kernel.from_json(expand + '{"op":"fc","ins":[2],"to":"C"}]}'))["memory"] == "24*C*H*W"


def test_sympy_is_loaded_for_formulas_only():
    code = "import sys, kas.solvers, kas.solvers.formulas; print('sympy' in sys.modules, 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"
