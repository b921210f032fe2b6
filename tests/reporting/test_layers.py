"""What a kernel costs at each layer: together what the solver says."""

from __future__ import annotations

import pytest

from kas import zoo
from kas.language import cost
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


def test_layers_that_are_alike_are_one_row() -> None:
    targets = [Target(f"a.{i}", 32, 32, (8, 8)) for i in range(3)] + [Target("b", 64, 64, (8, 8)), Target("c", 32, 32, (4, 4))]
    kernel = zoo.get("involution")
    sizes = solve(kernel, targets)
    layers = alike(kernel, targets, sizes.groups, sizes.values)
    assert [[target.name for target in one.targets] for one in layers] == [["a.0", "a.1", "a.2"], ["b"], ["c"]]
    for one in layers:
        assert one.macs == cost(kernel, one.targets[0].channels, one.targets[0].size).macs
    assert sum(len(one.targets) * one.macs for one in layers) == sizes.macs


def test_alike_layers_of_other_sizes_are_apart() -> None:
    kernel = zoo.get("bottleneck")
    targets = [Target(f"a.{i}", 32, 32, (8, 8)) for i in range(8)]
    sizes = solve(kernel, targets, {"macs": 0.5, "params": 0.5})
    layers = alike(kernel, targets, sizes.groups, sizes.values)
    assert len(layers) == len({tuple(one.items()) for one in sizes.values.values()})
    assert sum(len(one.targets) * one.params for one in layers) == sizes.params
