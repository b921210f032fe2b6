"""The budget solver's oracle: every combination of small integers, costed by `kas.cost` alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from kas.language import Infeasible, Kernel, cost
from kas.solvers import Target


def layer(kernel: Kernel, target: Target, groups: int, values: dict[str, int]) -> dict[str, float]:
    """What the kernel costs in place of the target, the adapter included."""
    one, adapter = cost(kernel, target.channels, target.size, groups, values), target.adapter
    macs = adapter.templates * one.macs + adapter.macs
    elementwise = adapter.templates * one.elementwise + adapter.elementwise
    params = adapter.templates * one.params + adapter.params
    held = 4 * (adapter.templates - 1) * target.channels * target.positions
    return {"macs": macs, "params": params, "work": macs + elementwise / 2, "memory": one.memory + held}


def join(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """What a network costs."""
    return {key: (max if key == "memory" else sum)(row[key] for row in rows) for key in rows[0]}


def replaced(targets: Sequence[Target], key: str) -> float:
    field = "macs" if key == "work" else key
    return (max if key == "memory" else sum)(getattr(target, field) for target in targets)


def best_uses(kernel: Kernel, targets: Sequence[Target], budget: dict[str, Any], top: int) -> tuple[float, ...] | None:
    """The best uses in falling order, by trying every count up to `top`; None if nothing fits. Ratios only."""
    best = None
    limits = {key: value if isinstance(value, dict) else {"max": value} for key, value in budget.items()}
    divisors = [g for g in range(1, targets[0].channels + 1) if all(t.channels % g == 0 for t in targets)]
    for groups in divisors if "G" in kernel.to_json() else [1]:
        options = []
        for target in targets:
            rows = []
            for counts in product(range(1, top + 1), repeat=len(kernel.variables)):
                try:
                    row = layer(kernel, target, groups, dict(zip(kernel.variables, counts, strict=True)))
                except Infeasible:
                    continue
                own = all(row[k] <= v["each"] * replaced([target], k) for k, v in limits.items() if "each" in v)
                if own and all(row[k] <= v["max"] * replaced(targets, k) for k, v in limits.items() if "max" in v):
                    rows.append(row)
            options.append(rows)
        for rows in product(*options):
            total = join(rows)
            uses = {key: total[key] / replaced(targets, key) for key in limits}
            if any(uses[key] > v.get("max", 1e9) or uses[key] < v.get("min", 0) for key, v in limits.items()):
                continue
            use = tuple(sorted((uses[key] / v["max"] for key, v in limits.items() if "max" in v), reverse=True))
            best = use if best is None else max(best, use)
    return best
