"""The share of each step in a cost, against `kas.cost` of each step by itself; and the memory that is worked out late."""

from __future__ import annotations

import copy
import pickle

import pytest
import solver_oracle as oracle
from solver_kernels import HAND, kernel

from kas.language import KasError
from kas.language.costs import environment
from kas.solvers import Sizes, Solver, Target

MIXED = [
    Target("a", 64, 64, (8, 8)),
    Target("b", 64, 64, (8, 8)),
    Target("down", 64, 128, (4, 4), stride=2, bias=True),
    Target("odd", 128, 192, (4, 4)),
]


def cost_of_steps(program, targets, sizes, key):
    """What each step costs over all targets, their templates counted."""
    totals = [0.0] * len(program.steps)
    for target in targets:
        env = environment(program, target.channels, target.size, sizes.groups, sizes.values[target.name])
        for i, outcome in enumerate(program.outcomes):
            macs = outcome.macs.value(env) if outcome.macs else 0
            params = outcome.params.value(env) if outcome.params else 0
            work = macs + (outcome.elementwise[0] * outcome.elementwise[1].value(env) / 2 if outcome.elementwise else 0)
            totals[i] += target.adapter.templates * {"macs": macs, "params": params, "work": work}[key]
    return totals


@pytest.mark.parametrize("name", [name for name in HAND if name != "attention"])  # which has no sizes here
@pytest.mark.parametrize("key", ["macs", "params", "work"])
def test_shares_of_the_steps(name, key):
    program, solver = kernel(name), Solver(MIXED, {"macs": 0.5, "params": 0.9})
    sizes = solver.solve(program, thorough=False)
    shares = solver.shares(program, sizes, key)
    total = oracle.join([oracle.layer(program, t, sizes.groups, sizes.values[t.name]) for t in MIXED])[key]
    assert shares == pytest.approx([cost / total for cost in cost_of_steps(program, MIXED, sizes, key)])
    assert 0 < sum(shares) < 1  # the rest are the adapters


def test_the_binding_limit_is_taken():
    program, solver = kernel("bottleneck"), Solver(MIXED, {"macs": 0.9, "params": 0.2})
    sizes = solver.solve(program)
    assert sizes.use["params"] > sizes.use["macs"]
    assert solver.shares(program, sizes) == solver.shares(program, sizes, "params") != solver.shares(program, sizes, "macs")
    with pytest.raises(KasError, match="'memory' is no cost that adds up over steps; these are macs, params, work"):
        solver.shares(program, sizes, "memory")


def test_memory_is_worked_out_when_it_is_read():
    program, solver = kernel("two widths"), Solver(MIXED, {"macs": 0.5})
    sizes = solver.solve(program, thorough=False)
    other = solver.solve(program, thorough=False)
    assert "memory" not in vars(sizes)
    copies = [copy.deepcopy(sizes), pickle.loads(pickle.dumps(sizes)), Sizes.from_dict(other.to_dict())]
    assert all(one == sizes for one in copies)
    rows = [oracle.layer(program, t, sizes.groups, sizes.values[t.name]) for t in MIXED]
    assert sizes.memory >= oracle.join(rows)["memory"] > 0
    assert vars(sizes)["memory"] == sizes.memory
    with pytest.raises(AttributeError, match="no attribute 'peak'"):
        _ = sizes.peak
