"""A study for the terminal: its counts in a line, its Pareto front as a table with the original first (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kas.language.kernel import Kernel
from kas.reporting import wording
from kas.reporting.metric import Metric
from kas.reporting.naming import formula, kernel_name
from kas.study.display.tables import fitting, single_lines, stacked, table_width
from kas.study.storage.records import Reference, TrialRecord
from kas.zoo.matching import name_of

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "DROPPED",
    "SLOWER",
    "STACKED",
    "beats",
    "elsewhere",
    "front_table",
    "legend",
    "notes",
    "speedup_spread",
]

DROPPED = ("params", "MACs", "original then", "trial", "spread", "vs original", "latency")  # where a terminal is narrow
SLOWER = "↓"
ACCURACY = Metric()
STACKED = 72  # columns from which a kernel has one line
_INDENT = 18  # characters that a hash and the space behind it take


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
) -> Table | Text:
    """The original network, then the kernels of the front; in bold those that beat it. `cost`: `latency` or `work`.

    runtimes: those that the front was measured in, the study's own first; each of the others is a column of speed-ups,
    in which a kernel that is slower than the original there has a mark. Known kernels have their name, others the hash.
    Metric and cost have as many digits as tell the kernels apart.

    width: of the terminal, in characters. Where the table is wider, it leaves out columns in the order of DROPPED; below
    STACKED characters, or where that is not enough, a kernel takes two lines or more. No number and no hash is ever cut.

    "original then" is the original's latency in the same paired session as the kernel's: a machine is not always as
    fast as it was when the original's own row was measured.
    """
    rows = _rows(reference, front, cost, runtimes, metric)
    styles = [""] * (reference is not None) + ["bold" if beats(record, reference, metric) else "" for record in front]
    names = fitting(rows, DROPPED, width)
    if width is not None and (width < STACKED or table_width(rows, names) > width):
        return stacked(rows, styles, width)
    table = single_lines(rows, names)
    for position, (style, cells) in enumerate(zip(styles, rows, strict=True)):
        section = position == 0 and reference is not None
        table.add_row(*(cells[name] for name in names), style=style, end_section=section)
    return table


def notes(
    reference: Reference | None,
    front: Sequence[TrialRecord],
    cost: str,
    runtimes: Mapping[str, Mapping[str, Any]],
    width: int | None = None,
    metric: Metric = ACCURACY,
) -> list[str]:
    """What stands below a `front_table` of the same arguments: columns left out, the legend, found kernels as formulas."""
    rows = _rows(reference, front, cost, list(runtimes), metric)
    names = fitting(rows, DROPPED, width)
    stacks = width is not None and (width < STACKED or table_width(rows, names) > width)
    left = [] if stacks or not rows else [name for name in rows[0] if name not in names]
    lines = [f"left out at {width} columns: {', '.join(left)} (all: --json, or a wider terminal)"] if left else []
    return [*lines, *(legend(cost, runtimes) if front else []), *_formulas(front, width)]


def _formulas(front: Sequence[TrialRecord], width: int | None) -> list[str]:
    """Each kernel without a name as a formula, cut to the width."""
    found = [record for record in front if record.program and record.hash and name_of(record.hash) is None]
    return [
        f"{record.hash}  {formula(Kernel.from_json(str(record.program)), None if width is None else width - _INDENT)}"
        for record in found
    ]


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


def _rows(
    reference: Reference | None, front: Sequence[TrialRecord], cost: str, runtimes: Sequence[str], metric: Metric
) -> list[dict[str, str]]:
    """The original, then the front: their cells by column."""
    others = runtimes[1:] if cost == "latency" else ()
    scores = [record.accuracy for record in front] + ([reference.accuracy] if reference else [])
    costs = [record.speedup if cost == "latency" else record.cost for record in front]
    digits = (
        wording.digits_apart(metric.text, scores, 1, 4),
        wording.digits_apart(wording.speedup, [*costs, 1.0], 2),
    )
    rows = [_cells(record, reference, cost, others, metric, digits) for record in front]
    return [*([_original(reference, cost, others, metric, digits)] if reference is not None else []), *rows]


def _original(
    reference: Reference, cost: str, others: Sequence[str], metric: Metric, digits: tuple[int, int]
) -> dict[str, str]:
    one = wording.speedup(1.0, digits[1])
    latency = {"latency": wording.milliseconds(reference.latency_ms), "original then": "", "speed-up": one, "spread": ""}
    return {
        "kernel": "original",
        "trial": "",
        metric.name: metric.text(reference.accuracy, digits[0]),
        "vs original": "",
        **(latency if cost == "latency" else {"work": one}),
        **dict.fromkeys(others, wording.speedup(1.0)),
        "MACs": wording.count(reference.macs),
        "params": wording.count(reference.params),
    }


def _cells(
    record: TrialRecord,
    reference: Reference | None,
    cost: str,
    others: Sequence[str],
    metric: Metric,
    digits: tuple[int, int],
) -> dict[str, str]:
    known = reference is not None and record.accuracy is not None
    gain = (record.accuracy or 0) - reference.accuracy if known and reference else None
    measured = {
        "latency": wording.milliseconds(record.latency_ms),
        "original then": wording.milliseconds(record.original_latency_ms),
        "speed-up": wording.speedup(record.speedup, digits[1]),
        "spread": wording.spread(speedup_spread(record)),
    }
    return {
        "kernel": kernel_name(record.hash),
        "trial": str(record.number),
        metric.name: metric.text(record.accuracy, digits[0]),
        "vs original": metric.difference(gain),
        **(measured if cost == "latency" else {"work": wording.speedup(record.cost, digits[1])}),
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
