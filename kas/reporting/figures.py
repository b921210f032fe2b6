"""The front of a study as a plotly figure in a plain dictionary, and what all its plots have in common.

Colours are looked up in a palette. The report passes names of its style sheet's variables, so that a figure follows
light and dark; the dashboard's card passes colours that are readable on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kas.reporting import wording
from kas.reporting.rows import Row
from kas.reporting.summary import Summary

__all__ = ["CARD_COLOURS", "REPORT_COLOURS", "Figure", "Palette", "escaped", "front_figure", "label", "layout", "line"]

Figure = dict[str, Any]
Palette = Mapping[str, str]

_NAMES = ("ink", "muted", "grid", "front", "other", "original", "good", "panel")
REPORT_COLOURS: Palette = {name: f"var(--{name})" for name in _NAMES}
CARD_COLOURS: Palette = {
    "ink": "#6b7280",
    "muted": "#8b93a1",
    "grid": "rgba(139,147,161,0.25)",
    "front": "#2f7d6d",
    "other": "#9aa3af",
    "original": "#d9622b",
    "good": "rgba(47,125,109,0.10)",
    "panel": "rgba(0,0,0,0)",
}


def front_figure(summary: Summary, colours: Palette) -> Figure:
    """The trials with values: for kas cost (x) against accuracy (y), else the first objective against the second.

    A study of one objective is drawn over the trial numbers. The front is joined by its staircase.
    """
    on_front = {row.number for row in summary.front}
    others = [row for row in summary.rows if row.counts and row.number not in on_front]
    data = [_points(summary, others, "trials", {"color": colours["other"], "size": 7, "opacity": 0.75})]
    if len(summary.directions) == 2 and len(summary.front) > 1:
        data.append(_staircase(summary, colours))
    marker = {"color": colours["front"], "size": 11, "line": {"color": colours["panel"], "width": 1.5}}
    data.append(_points(summary, summary.front, "Pareto front", marker, spread=colours["ink"]))
    frame = layout(colours, *_axis_titles(summary))
    if summary.share:
        frame["yaxis"]["tickformat"] = ".0%"
    if summary.original is not None:
        data.append(_original_point(summary, colours))
        frame["shapes"], frame["annotations"] = _original_marks(summary, colours)
        for axis, ends in zip(("xaxis", "yaxis"), _ranges(summary), strict=True):
            frame[axis]["range"] = list(ends)
    return {"data": data, "layout": frame}


def _place(summary: Summary, row: Row) -> tuple[float, float]:
    """Where a row stands: (x, y)."""
    values = row.values or (0.0,)
    if len(values) == 1:
        return float(row.number), values[0]
    return (values[1], values[0]) if summary.is_kas else (values[0], values[1])


def _axis_titles(summary: Summary) -> tuple[str, str]:
    if len(summary.metrics) == 1:
        return "trial", summary.metrics[0]
    first, second = summary.metrics[:2]
    return (second, first) if summary.is_kas else (first, second)


def _points(summary: Summary, rows: Sequence[Row], name: str, marker: Mapping[str, Any], spread: str = "") -> dict[str, Any]:
    places = [_place(summary, row) for row in rows]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [round(x, 6) for x, _ in places],
        "y": [round(y, 6) for _, y in places],
        "text": [_hover(summary, row) for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": dict(marker),
    }
    if spread and any(row.ratio_low and row.ratio_high for row in rows):
        above = [max(0.0, (row.ratio_high or x) - x) for row, (x, _) in zip(rows, places, strict=True)]
        below = [max(0.0, x - (row.ratio_low or x)) for row, (x, _) in zip(rows, places, strict=True)]
        style = {"color": spread, "thickness": 1.4, "width": 5}
        trace["error_x"] = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, **style}
    return trace


def _hover(summary: Summary, row: Row) -> str:
    """The lines of the box beside a point. plotly reads some tags in it, so names are escaped."""
    lines = [f"<b>trial {row.number}</b>" + (f"  {escaped(row.label)}" if row.hash else "")]
    values = [
        (name, wording.accuracy(value) if summary.share and position == 0 else wording.plain(value))
        for position, (name, value) in enumerate(zip(summary.metrics, row.values or (), strict=True))
    ]
    lines += [f"{escaped(name)}: {value}" for name, value in values]
    if row.latency_ms is not None and summary.is_kas:
        lines.append(f"{wording.milliseconds(row.latency_ms)}, speed-up {wording.speedup(row.speedup)}")
    lines += [f"in {escaped(name)} {wording.speedup(value)}" for name, value in row.speedups.items()]
    return "<br>".join(lines)


def escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _staircase(summary: Summary, colours: Palette) -> dict[str, Any]:
    """The border of what the front dominates."""
    places = sorted(_place(summary, row) for row in summary.front)
    x_is_cost = summary.directions[1 if summary.is_kas else 0] == "minimize"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "front line",
        "showlegend": False,
        "hoverinfo": "skip",
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "opacity": 0.45,
        "line": {"color": colours["front"], "width": 1.5, "dash": "dot", "shape": "hv" if x_is_cost else "vh"},
    }


def _original_point(summary: Summary, colours: Palette) -> dict[str, Any]:
    assert summary.original is not None
    accuracy = wording.accuracy(summary.original.accuracy, summary.share)
    latency = wording.milliseconds(summary.original.latency_ms)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "original",
        "x": [1.0],
        "y": [summary.original.accuracy],
        "hovertemplate": f"<b>original</b><br>{accuracy}<br>{latency}<extra></extra>",
        "marker": {
            "symbol": "star",
            "size": 17,
            "color": colours["original"],
            "line": {"color": colours["panel"], "width": 1.5},
        },
    }


def _original_marks(summary: Summary, colours: Palette) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines through the original, and the region of kernels that are faster and nearly as good."""
    assert summary.original is not None
    level = summary.original.accuracy
    shapes = [
        line(colours, x0=1, x1=1, y0=0, y1=1, yref="paper", layer="above"),
        line(colours, x0=0, x1=1, xref="paper", y0=level, y1=level),
    ]
    (left, _), (bottom, top) = _ranges(summary)
    margin = summary.metric.margin(level)
    ends = (level - margin, top) if summary.metric.direction == "maximize" else (bottom, level + margin)
    region = {"x0": left, "x1": 1, "y0": ends[0], "y1": ends[1]}
    shapes.insert(0, {"type": "rect", "layer": "below", "fillcolor": colours["good"], "line": {"width": 0}, **region})
    words = "faster" if summary.measured else "cheaper"
    text = f"{words}, {summary.metric.within}"
    upper = summary.metric.direction == "maximize"
    vertical = {"y": 0.985 if upper else 0.015, "yref": "paper", "yanchor": "top" if upper else "bottom"}
    place = {"x": 0.01, "xref": "paper", "xanchor": "left", **vertical}
    return shapes, [label(text, colours, **place)]


def _ranges(summary: Summary) -> tuple[tuple[float, float], tuple[float, float]]:
    """What both axes show, with the original: all points and a margin."""
    assert summary.original is not None
    places = [_place(summary, row) for row in summary.rows if row.counts]
    ends = []
    for axis, original in ((0, 1.0), (1, summary.original.accuracy)):
        seen = [place[axis] for place in places] + [original]
        if axis == 0:  # with the ends of the error bars
            seen += [end for row in summary.front for end in (row.ratio_low, row.ratio_high) if end is not None]
        margin = 0.07 * (max(seen) - min(seen)) + (summary.metric.margin(original) if axis else 0.02)
        ends.append((min(seen) - margin, max(seen) + margin))
    return ends[0], ends[1]


def line(colours: Palette, **place: Any) -> dict[str, Any]:
    style = {"color": colours["original"], "width": 1, "dash": "dot"}
    return {"type": "line", "layer": "between", "line": style, **place}


def label(words: str, colours: Palette, **place: Any) -> dict[str, Any]:
    font = {"size": 12, "color": colours["muted"]}
    return {"text": words, "showarrow": False, "font": font, "yanchor": "bottom", **place}


def layout(colours: Palette, x: str, y: str) -> dict[str, Any]:
    axis = {"gridcolor": colours["grid"], "zeroline": False, "linecolor": colours["grid"], "automargin": True}
    return {
        "template": {},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": colours["ink"], "size": 13, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        "margin": {"l": 56, "r": 20, "t": 16, "b": 48},
        "xaxis": {"title": {"text": escaped(x)}, **axis},
        "yaxis": {"title": {"text": escaped(y)}, **axis},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": colours["muted"], "activecolor": colours["ink"]},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
    }
