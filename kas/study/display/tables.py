"""Tables for the terminal that never cut a cell: they leave out columns, or take several lines for a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kas.reporting import wording
from kas.reporting.measurements import Measurement
from kas.reporting.naming import kernel_name

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["fitting", "measurement_table", "single_lines", "stacked", "table_width"]

_GAP = 2  # between columns


def measurement_table(measurement: Measurement, width: int | None = None) -> Table | Text:
    """What `measure` found in a runtime: each kernel against the original in the same session. width: as in `front_table`."""
    rows = [
        {
            "kernel": kernel_name(key),
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
    names = fitting(rows, ("original's", "memory format", "ratio", "spread"), width)
    if width is not None and table_width(rows, names) > width:
        return stacked(rows, [""] * len(rows), width)
    table = single_lines(rows, names)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def fitting(rows: Sequence[Mapping[str, str]], dropped: Sequence[str], width: int | None) -> list[str]:
    """The columns that fit a width: all, but for those that are dropped first."""
    names = list(rows[0]) if rows else ["kernel"]
    for name in dropped:
        if width is None or table_width(rows, names) <= width:
            break
        names = [kept for kept in names if kept != name]
    return names


def single_lines(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> Table:
    """An empty table of some columns that never cuts a cell."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for name in names:
        table.add_column(name, justify="left" if name == names[0] else "right", no_wrap=True)
    table.width = table_width(rows, names)
    return table


def stacked(rows: Sequence[Mapping[str, str]], styles: Sequence[str], width: int) -> Text:
    """A row on several lines: its first cell, then each value behind the name of its column, broken between them.

    A value that is longer than the width, as a path may be, stays whole: a table would cut it.
    """
    from rich.text import Text

    found = []
    for style, row in zip(styles, rows, strict=True):
        title, *names = row
        lines = [row[title]]
        for said in (f"{name} {row[name]}" for name in names if row[name]):
            if len(lines) > 1 and len(lines[-1]) + 3 + len(said) <= width:
                lines[-1] += f" · {said}"
            else:
                lines.append(f"  {said}")
        found.append(Text("\n".join(lines), style=style))
    return Text("\n", no_wrap=True, overflow="ignore").join(found)


def table_width(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> int:
    """Characters that the columns take side by side."""
    return sum(max([len(name), *(len(row[name]) for row in rows)]) for name in names) + _GAP * (len(names) - 1)
