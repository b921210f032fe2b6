"""A study for the terminal: its counts in a line, its Pareto front as a table with the original first (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kas.reporting import wording
from kas.reporting.measurements import Measurement
from kas.reporting.metric import Metric
from kas.study.storage.records import Reference, TrialRecord

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["DROPPED", "SLOWER", "beats", "elsewhere", "front_table", "legend", "measurement_table", "speedup_spread"]

DROPPED = ("params", "MACs", "original then", "trial", "spread", "vs original", "latency")  # where a terminal is narrow
SLOWER = "↓"
ACCURACY = Metric()
_GAP = 2  # between columns


def beats(record: TrialRecord, reference: Reference | None, metric: Metric) -> bool:
    """Whether a kernel is cheaper than the original beyond the measured spread and near it (`Metric.is_close`)."""
    cost = record.ratio_high if record.ratio_high is not None else record.cost
    if reference is None or record.accuracy is None or cost is None:
        return False
    return cost < 1.0 and metric.is_close(record.accuracy, reference.accuracy)


def speedup_spread(record: TrialRecord) -> tuple[float, float] | None:
    """The quartiles of the speed-up, the smaller first."""
    if not record.ratio_low or not record.ratio_high:
        return None
    return 1 / record.ratio_high, 1 / record.ratio_low


def front_table(
    reference: Reference | None,
    front: Sequence[TrialRecord],
    cost: str,
    runtimes: Sequence[str] = (),
    width: int | None = None,
    metric: Metric = ACCURACY,
) -> Table:
    """The original network, then the kernels of the front; in bold those that beat it. `cost`: `latency` or `work`.

    runtimes: those that the front was measured in, the study's own first; each of the others is a column of speed-ups,
    in which a kernel that is slower than the original there has a mark. width: of the terminal, in characters. Where the
    table is wider, it leaves out columns in the order of DROPPED, and never cuts a number or a hash.

    "original then" is the original's latency in the same paired session as the kernel's: a machine is not always as
    fast as it was when the original's own row was measured.
    """
    others = runtimes[1:] if cost == "latency" else ()
    rows = [_cells(record, reference, cost, others, metric) for record in front]
    if reference is not None:
        rows.insert(0, _original(reference, cost, others, metric))
    names, table = _table(rows, DROPPED, width)
    for record, cells in zip([None, *front] if reference is not None else front, rows, strict=True):
        bold = record is not None and beats(record, reference, metric)
        table.add_row(*(cells[name] for name in names), style="bold" if bold else None, end_section=record is None)
    return table


def measurement_table(measurement: Measurement, width: int | None = None) -> Table:
    """What `measure` found in a runtime: each kernel against the original in the same session. width: as in `front_table`."""
    rows = [
        {
            "kernel": key[:12],
            "latency": wording.milliseconds(timing.latency_ms),
            "original": wording.milliseconds(timing.original_latency_ms),
            "ratio": wording.NOTHING if timing.ratio is None else f"{timing.ratio:.3f}",
            "speed-up": "refused" if timing.refused else wording.speedup(timing.speedup),
            "spread": wording.spread(timing.speedup_range),
            "memory format": (timing.memory_format or "").replace("_", " "),
            "original's": (timing.original_format or "").replace("_", " "),
        }
        for key, timing in measurement.kernels.items()
    ]
    names, table = _table(rows, ("original's", "memory format", "ratio", "spread"), width)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _table(rows: Sequence[Mapping[str, str]], dropped: Sequence[str], width: int | None) -> tuple[list[str], Table]:
    """The columns that fit a width, and an empty table of them that never cuts a cell."""
    from rich import box
    from rich.table import Table

    names = _fitting(rows, dropped, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for name in names:
        table.add_column(name, justify="left" if name == "kernel" else "right", no_wrap=True)
    table.width = _width(rows, names)
    return names, table


def legend(cost: str, runtimes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a reader of `front_table` has to know, as lines. runtimes: what is known of each, the study's own first."""
    if cost != "latency" or len(runtimes) < 2:
        return []
    own, *others = runtimes
    refused = {name: runtimes[name]["refused"] for name in others if "refused" in runtimes[name]}
    measured = [name for name in others if name not in refused]
    lines = [f"{name} does not take the original network: {reason}" for name, reason in refused.items()]
    if measured:
        lines.insert(0, f"{', '.join(measured)}: speed-up in that runtime, {SLOWER} slower than the original there")
    return [f"latency and speed-up are those in {own}", *lines]


def elsewhere(record: TrialRecord) -> str:
    """The speed-ups in the other runtimes, in words: `1.80× in compile, 0.90× in onnxruntime`."""
    found = [(name, timing.get("speedup")) for name, timing in record.runtimes.items()]
    return ", ".join(f"{wording.speedup(value)} in {name}" for name, value in found if value)


def _fitting(rows: Sequence[Mapping[str, str]], dropped: Sequence[str], width: int | None) -> list[str]:
    """The columns that fit a width: all, but for those that are dropped first."""
    names = list(rows[0]) if rows else ["kernel"]
    for name in dropped:
        if width is None or _width(rows, names) <= width:
            break
        names = [kept for kept in names if kept != name]
    return names


def _width(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> int:
    """Characters that the columns take side by side."""
    return sum(max([len(name), *(len(row[name]) for row in rows)]) for name in names) + _GAP * (len(names) - 1)


def _original(reference: Reference, cost: str, others: Sequence[str], metric: Metric) -> dict[str, str]:
    latency = {"latency": wording.milliseconds(reference.latency_ms), "original then": "", "speed-up": wording.speedup(1.0)}
    return {
        "kernel": "original",
        "trial": "",
        metric.name: metric.text(reference.accuracy),
        "vs original": "",
        **({**latency, "spread": ""} if cost == "latency" else {"work": "1.00×"}),
        **dict.fromkeys(others, wording.speedup(1.0)),
        "MACs": wording.count(reference.macs),
        "params": wording.count(reference.params),
    }


def _cells(
    record: TrialRecord, reference: Reference | None, cost: str, others: Sequence[str], metric: Metric
) -> dict[str, str]:
    known = reference is not None and record.accuracy is not None
    gain = (record.accuracy or 0) - reference.accuracy if known and reference else None
    measured = {
        "latency": wording.milliseconds(record.latency_ms),
        "original then": wording.milliseconds(record.original_latency_ms),
        "speed-up": wording.speedup(record.speedup),
        "spread": wording.spread(speedup_spread(record)),
    }
    work = {"work": wording.NOTHING if record.cost is None else f"{record.cost:.2f}×"}
    return {
        "kernel": (record.hash or "")[:12],
        "trial": str(record.number),
        metric.name: metric.text(record.accuracy),
        "vs original": metric.difference(gain),
        **(measured if cost == "latency" else work),
        **{name: _elsewhere(record.runtimes.get(name, {})) for name in others},
        "MACs": wording.count(record.macs),
        "params": wording.count(record.params),
    }


def _elsewhere(timing: Mapping[str, Any]) -> str:
    """The speed-up in another runtime, with a mark if the kernel is slower than the original there."""
    if "refused" in timing:
        return "refused"
    speedup = timing.get("speedup")
    return f"{SLOWER if speedup is not None and speedup < 1 else ''}{wording.speedup(speedup)}"
