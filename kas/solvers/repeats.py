"""Kernels that cost the same: what the solver found for one is the answer to the others.

A quarter of sampled kernels have the MACs, the parameters, the variables and the divisions of one that was drawn before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kas.solvers.costing import Answer, Columns, Part
from kas.solvers.plans import Plan
from kas.solvers.questions import Network
from kas.solvers.sizes import Sizes
from kas.solvers.tables import Table

__all__ = ["Repeats"]

_MOST = 1 << 13  # kept; then all are forgotten

Key = tuple[Any, ...]


class _Known(NamedTuple):
    network: Network
    table: Table
    found: Sequence[Part] | Columns
    fields: dict[str, Any]
    use: dict[str, float]


class Repeats:
    """Sizes of the kernels so far, by all that they depend on; nothing is kept of the kernels."""

    def __init__(self, network: Network):
        """Only sums of MACs and of parameters may be limited; otherwise nothing is found again."""
        self._applies = not network.limits_targets and "work" not in network.by_key
        self._known: dict[Key, _Known] = {}

    def key(self, plan: Plan) -> Key | None:
        """What the sizes depend on: the monomials in any order (a dim is one object), and what must divide."""
        if not self._applies:
            return None
        macs, params = sorted([id(dim) for _, dim in plan.macs]), sorted([id(dim) for _, dim in plan.params])
        return plan.free, (*macs, 0, *params), (*plan.shifts,)

    def get(self, key: Key | None, plan: Plan) -> Sizes | None:
        """The sizes of a kernel that costs what one before cost, None if there was none."""
        known = self._known.get(key) if key is not None else None
        if known is None:
            return None
        return Sizes.late(Answer(known.network, plan, known.table, known.found), **known.fields, use={**known.use})

    def put(self, key: Key | None, sizes: Sizes) -> None:
        """Keep the sizes of a kernel."""
        if key is None or not isinstance(sizes.rest, Answer):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        rest = sizes.rest
        fields = {name: getattr(sizes, name) for name in ("groups", "macs", "params", "exact", "gap")}
        self._known[key] = _Known(rest.network, rest.table, rest.found, fields, {**sizes.use})
