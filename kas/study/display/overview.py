"""A study for the terminal: its counts in a line, its Pareto front as a table with the original first (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kas.reporting import wording
from kas.study.storage.records import Reference, TrialRecord

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["CLOSE", "beats", "front_table", "speedup_spread"]

CLOSE = 0.02  # "nearly the accuracy of the original": within two points


def beats(record: TrialRecord, reference: Reference | None) -> bool:
    """Whether a kernel is cheaper than the original beyond the measured spread and within two points of its accuracy."""
    cost = record.ratio_high if record.ratio_high is not None else record.cost
    if reference is None or record.accuracy is None or cost is None:
        return False
    return cost < 1.0 and record.accuracy >= reference.accuracy - CLOSE


def speedup_spread(record: TrialRecord) -> tuple[float, float] | None:
    """The quartiles of the speed-up, the smaller first."""
    if not record.ratio_low or not record.ratio_high:
        return None
    return 1 / record.ratio_high, 1 / record.ratio_low


def front_table(reference: Reference | None, front: Sequence[TrialRecord], cost: str) -> Table:
    """The original network, then the kernels of the front; in bold those that beat it. `cost`: `latency` or `work`.

    "original then" is the original's latency in the same paired session as the kernel's: a machine is not always as
    fast as it was when the original's own row was measured.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("kernel", no_wrap=True)
    for name in ("trial", "accuracy", "vs original"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("latency", "original then", "speed-up", "spread") if cost == "latency" else ("work",):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("MACs", "params"):
        table.add_column(name, justify="right", no_wrap=True)
    if reference is not None:
        table.add_row(*_original(reference, cost), end_section=True)
    for record in front:
        table.add_row(*_cells(record, reference, cost), style="bold" if beats(record, reference) else None)
    return table


def _original(reference: Reference, cost: str) -> list[str]:
    measured = [wording.milliseconds(reference.latency_ms), "", wording.speedup(1.0), ""] if cost == "latency" else ["1.00×"]
    counts = [wording.count(reference.macs), wording.count(reference.params)]
    return ["original", "", wording.accuracy(reference.accuracy), "", *measured, *counts]


def _cells(record: TrialRecord, reference: Reference | None, cost: str) -> list[str]:
    known = reference is not None and record.accuracy is not None
    gain = (record.accuracy or 0) - reference.accuracy if known and reference else None
    measured = [
        wording.milliseconds(record.latency_ms),
        wording.milliseconds(record.original_latency_ms),
        wording.speedup(record.speedup),
        wording.spread(speedup_spread(record)),
    ]
    work = [wording.NOTHING if record.cost is None else f"{record.cost:.2f}×"]
    return [
        (record.hash or "")[:12],
        str(record.number),
        wording.accuracy(record.accuracy),
        wording.difference(gain),
        *(measured if cost == "latency" else work),
        wording.count(record.macs),
        wording.count(record.params),
    ]
