"""What is checked before the first minute of training is spent: can any kernel at all satisfy the budget?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kas.language import Infeasible, KasError, Kernel
from kas.solvers import Target, solve

__all__ = ["check_budget"]

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
