"""Kernels without free variables: only G is left to choose, and every cost is a sum that is looked up."""

from __future__ import annotations

from collections.abc import Iterable

from kas.solvers.costing import Part, answer, own_limits_hold, reached, within
from kas.solvers.plans import Plan
from kas.solvers.questions import Network, terms_of
from kas.solvers.sizes import Sizes
from kas.solvers.tables import Table

__all__ = ["solve_fixed"]


def solve_fixed(network: Network, plan: Plan, divisors: Iterable[int]) -> Sizes | None:
    """The sizes with the G that uses the budget most. None if no G keeps to all limits."""
    parts = [Part(i, members, {}) for i, (_, members) in enumerate(network.kinds)]
    best: tuple[tuple[float, ...], Table, dict[str, int]] | None = None
    for groups in divisors:
        table = network.table(groups)
        if plan.hindered(table):
            continue
        costs = reached(network, plan, table, parts)
        if not within(network, costs) or not own_limits_hold(network, plan, table, parts):
            continue
        uses = tuple(sorted([costs[limit.key] / limit.real for limit in network.limits if limit.real], reverse=True))
        better = best is None or uses > best[0]
        if best is not None and uses == best[0]:
            better = _imbalance(network, plan, table) < _imbalance(network, plan, best[1])
        if better:
            best = uses, table, costs
        if not plan.costs_depend_on_groups:
            break
    if best is None:
        return None
    _, table, costs = best
    return answer(network, plan, table, parts, costs, True, 1.0)


def _costs(network: Network, plan: Plan, table: Table, key: str) -> list[int]:
    """What one target of each kind costs."""
    rows = [(count, table[dim].values) for count, dim in terms_of(plan, key)]
    return [
        times * sum([count * values[i] for count, values in rows]) + constant
        for i, (times, constant) in enumerate(zip(network.templates, network.constants[key], strict=True))
    ]


def _imbalance(network: Network, plan: Plan, table: Table) -> float:
    """How unevenly the costs are spread over the targets: less is better."""
    total = 0.0
    for limit in network.sums:
        costs = _costs(network, plan, table, limit.key)
        for cost, (_, members) in zip(costs, network.kinds, strict=True):
            total += sum([(cost / limit.replaced[member]) ** 2 for member in members])
    return total
