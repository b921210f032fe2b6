"""What a kernel costs at each layer: together what the solver says."""

from __future__ import annotations

import pytest

from kas import zoo
from kas.reporting.layers import alike
from kas.solvers import Target, solve

TARGETS = [
    Target("a.0", 16, 16, (8, 8)),
    Target("a.1", 16, 16, (8, 8)),
    Target("b", 16, 24, (4, 4)),
    Target("c", 24, 48, (4, 4)),
]


@pytest.mark.parametrize("name", ["bottleneck", "grouped3x3", "ghost"])
def test_layers_cost_together_what_the_solver_says(name: str) -> None:
    kernel = zoo.get(name)
    sizes = solve(kernel, TARGETS, {"macs": 0.9})
    found = alike(kernel, TARGETS, sizes.groups, sizes.values)
    assert [one.names for one in found] == ["a.{0,1}", "b", "c"]
    assert sum(len(one.targets) * one.macs for one in found) == sizes.macs
    assert sum(len(one.targets) * one.params for one in found) == sizes.params
