"""A budget that nothing satisfies is refused before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from kas import KasError, Target
from kas.study.workers.preflight import check_budget

SAME = Target("a", 16, 16, (8, 8))
WIDER = Target("b", 16, 24, (8, 8))  # needs a 1x1 projection


@pytest.mark.parametrize(
    ("targets", "budget", "message"),
    [
        ([SAME], {"memory": 0.01}, "memory"),
        ([SAME, WIDER], {"macs": 1e-6}, "macs"),
        ([SAME, WIDER], {"params": 0.05}, "params"),
        ([Target("l", 16, 24, ())], {"macs": 1e-6}, "macs"),
        ([Target("s", 16, 24, (9,))], {"work": 1e-6}, "work"),
    ],
)
def test_too_small(targets: list[Target], budget: dict[str, Any], message: str) -> None:
    with pytest.raises(KasError, match=f"no kernel at all satisfies the budget: .*{message}.* would do"):
        check_budget(targets, budget)


@pytest.mark.parametrize(
    ("targets", "budget"),
    [
        ([SAME], None),
        ([SAME], {"macs": 1e-9}),
        ([SAME, WIDER], {"macs": 0.3}),
        ([SAME], {"macs": {"min": 0.2, "max": 0.3}}),
        ([Target("a", 16, 24, (1, 1))], {"macs": 1e-9}),
        ([Target("l", 15, 15, ())], {"macs": 1e-9}),
    ],
)
def test_enough_or_not_provable(targets: list[Target], budget: dict[str, Any] | None) -> None:
    check_budget(targets, budget)
