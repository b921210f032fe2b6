"""The budget solver where the combinations are too many to try all in its own time: the gap that it states is true.

The oracle tries them all with numpy, on costs from `kas.cost` alone.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import solver_oracle as oracle
from solver_kernels import HAND, chain, kernel

from kas.language import Infeasible
from kas.solvers import Solver, Target, solve

FEW = 100_000  # combinations that the solver tries one by one


def options(program, target, groups, top):
    """The costs `[n, 2]` (MACs, parameters) of every value of the one variable at one target."""
    rows = []
    for value in range(1, top + 1):
        try:
            row = oracle.layer(program, target, groups, {program.variables[0]: value})
        except Infeasible:
            continue
        rows.append((row["macs"], row["params"]))
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def best_use(program, targets, budget, groups, top):
    """The largest use of the tighter limit over all combinations, and how many of them keep to the limits."""
    limits = np.array([budget[key] * oracle.replaced(targets, key) for key in ("macs", "params")])
    sums = np.zeros((1, 2), dtype=np.int64)
    for target in targets:
        sums = (sums[:, None] + options(program, target, groups, top)[None]).reshape(-1, 2)
        sums = sums[(sums <= limits).all(1)]
    return (sums / limits).max(), len(sums)


@pytest.mark.parametrize("seed", range(25))
def test_the_gap_is_true(seed):
    rng = random.Random(seed)
    for _ in range(300):
        program = chain(rng)
        if len(program.variables) != 1 or program.uses_groups:
            continue
        sides = rng.choices([(16, 8), (24, 6), (32, 4), (48, 3)], k=3)
        targets = [Target(f"t{i}", c, c, (s, s)) for i, (c, s) in enumerate(sides)]
        budget = {key: rng.choice([0.3, 0.5, 0.8]) for key in ("macs", "params")}
        try:
            sizes = solve(program, targets, budget)
            quick = Solver(targets, budget).solve(program, thorough=False)
        except Infeasible:
            continue
        top = 160
        if sizes.exact or max(value for values in sizes.values.values() for value in values.values()) > top // 2:
            continue
        best, number = best_use(program, targets, budget, 1, top)
        if number <= FEW // 10:
            continue
        for found in (sizes, quick):
            assert max(found.use.values()) <= best + 1e-12
            assert best - max(found.use.values()) <= found.gap + 1e-12
        assert sizes.gap <= 0.01
        return
    pytest.fail("no case was large enough")


FOUR = [Target(f"t{c}", c, c, (s, s)) for c, s in ((64, 32), (128, 16), (256, 8), (512, 4))]
STAGES = [
    Target(f"s{c}.{i}", c if i else max(64, c // 2), c, (s, s), stride=1 if i else 2)
    for c, s in ((64, 56), (128, 28), (256, 14), (512, 7))
    for i in range(4)
]
BUDGETS = [
    {"macs": 1.0, "params": 1.0},
    {"macs": 0.05, "params": 0.05},
    {"macs": 0.5, "memory": 6.0},
    {"work": 0.5, "params": {"max": 0.5, "each": 0.6}},
    {"macs": {"max": 0.5, "min": 0.4}},
    {"macs": {"min": 0.4}},
    {"memory": 3.0},
]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("multiple_of", [1, 8])
def test_the_quick_answer_keeps_to_all_limits(budget, multiple_of):
    rng = random.Random(2)
    programs = [*map(kernel, HAND), *(chain(rng) for _ in range(30))]
    for targets in (FOUR, STAGES):
        solver, met = Solver(targets, budget, multiple_of=multiple_of), 0
        for program in programs:
            try:
                sizes = solver.solve(program, thorough=False)
            except Infeasible:
                with pytest.raises(Infeasible):
                    solver.solve(program)
                continue
            met += 1
            total = oracle.join([oracle.layer(program, t, sizes.groups, sizes.values[t.name]) for t in targets])
            assert (sizes.macs, sizes.params, sizes.work) == (total["macs"], total["params"], total["work"])
            assert sizes.memory >= total["memory"]
            for key, value in budget.items():
                value = value if isinstance(value, dict) else {"max": value}
                reached = getattr(sizes, key)
                assert reached <= value.get("max", float("inf")) * oracle.replaced(targets, key)
                assert reached >= value.get("min", 0) * oracle.replaced(targets, key)
                for target in targets if "each" in value else []:
                    row = oracle.layer(program, target, sizes.groups, sizes.values[target.name])
                    assert row[key] <= value["each"] * oracle.replaced([target], key)
        assert met > 5
