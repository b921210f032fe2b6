"""What is checked before the first minute of training is spent: budget, network and data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from kas import zoo
from kas.evaluation.adapters import STAND_INS
from kas.evaluation.inputs import head
from kas.evaluation.preflight import Findings, look
from kas.language import Infeasible, KasError, Kernel
from kas.replacement import only_replaced_train, replace_layers, survey
from kas.replacement import replace as with_kernel
from kas.reporting.metric import Metric
from kas.solvers import Target, solve
from kas.study.workers.bench import Bench
from kas.study.workers.originals import Network, target_options

__all__ = ["check_budget", "look_first", "objective"]

# The cheapest kernel of each rank: no MACs, no parameters, no element-wise work, two tensors in memory.
_CHEAPEST: dict[int, list[dict[str, Any]]] = {
    2: [{"op": "shift", "ins": [0], "axes": ["1.h"], "by": 1}],
    1: [{"op": "shift", "ins": [0], "axes": ["1.h"], "by": 1}],
    0: [{"op": "group", "ins": [0], "by": "C/2"}, {"op": "transpose", "ins": [1]}, {"op": "ungroup", "ins": [2]}],
}


def check_budget(targets: Sequence[Target], budget: Mapping[str, Any] | None) -> None:
    """Raise `KasError` if the budget is too small for any kernel: the limit, the target, and what would do.

    The cheapest kernel costs only what stands around a kernel (1x1 projections where widths change) and the tensors
    themselves; where even that is too much, nothing fits. Lower limits are left to the solver.
    """
    if not budget:
        return
    rank = targets[0].rank
    cheapest = Kernel.from_dict({"format": "kas.kernel/1", "rank": rank, "steps": _CHEAPEST[rank]})
    upper = {key: value for key, value in budget.items() if not isinstance(value, Mapping) or "min" not in value}
    try:
        solve(cheapest, list(targets), None)
    except Infeasible:  # an axis of length 1, an odd width: it proves nothing
        return
    try:
        solve(cheapest, list(targets), upper or None)
    except Infeasible as error:
        raise KasError(f"no kernel at all satisfies the budget: {error}") from None


def look_first(bench: Bench) -> Findings:
    """Look at a study's network and data, and say in lines what was understood. Raises KasError for whatever is wrong."""
    network, task = bench.trained, bench.task
    assert bench.first is not None
    found = look(network.model, _with_a_kernel(network), bench.data, bench.first, task)
    left = survey(network.model, head(network.example, 2), **target_options(bench.config.targets)).excluded
    counts = Counter(left.values())
    lines = list(found.lines)
    if counts:
        lines.append("not replaced: " + "; ".join(f"{count} ({reason})" for reason, count in counts.most_common()))
    cost = f"latency in {bench.runtime().version()}" if bench.measures else "analytic work"
    lines.append(f"device: {bench.device_name}; cost: {cost}")
    if sentence := only_replaced_train(network.model):
        lines.append(sentence)
    return replace(found, lines=lines)


def objective(bench: Bench, findings: Findings | None) -> Metric:
    """The first objective of a study, with what a constant answer gets, if that is known."""
    measure = bench.task.measure() if findings is None else findings.measure
    called = bench.config.objectives.accuracy
    name = measure.name if called == "accuracy" else called
    constant = findings.constant if findings else None
    return Metric(name, measure.direction, measure.share, bench.task.name, None if constant is None else round(constant, 6))


def _with_a_kernel(network: Network) -> nn.Module:
    """The network with a known kernel, or, where that has no sizes, with nothing but adapters."""
    targets = list(network.targets)
    kernel = zoo.get(STAND_INS[targets[0].rank])
    with torch.random.fork_rng(devices=[]):
        try:
            return with_kernel(network.model, kernel, head(network.example, 2), targets=targets, check=False)
        except Infeasible:
            return replace_layers(network.model, targets, lambda target: nn.Identity())
