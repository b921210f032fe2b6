"""Plots over time, as plotly figures: the learning curves of the front, and the hypervolume over the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kas.reporting.figures import Figure, Palette, escaped, label, layout, line
from kas.reporting.rows import Row
from kas.reporting.summary import Summary

__all__ = ["MOST_CURVES", "curves_figure", "hypervolume_figure", "learners"]

MOST_CURVES = 8
# told apart by people who see colours differently, readable on light and dark: after Okabe and Ito
_COLOURS = ("#0f8f6f", "#3b7fc4", "#b07aa1", "#b8860b", "#56a3c9", "#8a6bbd", "#7a8a3a", "#a8577e")


def curves_figure(summary: Summary, colours: Palette) -> Figure:
    """The metric of the front's kernels after each epoch, the best first, and of the original; at most MOST_CURVES."""
    data = []
    for row, colour in zip(learners(summary), _COLOURS, strict=False):
        data.append(_curve(summary, f"{escaped(row.label)} (trial {row.number})", row.curve, {"color": colour, "width": 2}))
    if summary.original is not None and summary.original.curve:
        style = {"color": colours["original"], "width": 2.5, "dash": "dash"}
        data.append(_curve(summary, "original", summary.original.curve, style))
    frame = layout(colours, "epoch", summary.metric.name)
    epochs = max((max(trace["x"]) for trace in data), default=1)
    frame["xaxis"] |= {"tick0": 1, "dtick": math.ceil(epochs / 12)}
    if summary.share:
        frame["yaxis"]["tickformat"] = ".0%"
    return {"data": data, "layout": frame}


def learners(summary: Summary) -> list[Row]:
    """The rows of the front whose learning curves are drawn, the best first."""
    sign = -1 if summary.metric.direction == "maximize" else 1
    known = [row for row in summary.front if row.curve and row.values]
    return sorted(known, key=lambda row: sign * (row.values or (0.0,))[0])[:MOST_CURVES]


def _curve(summary: Summary, name: str, curve: Mapping[int, float], style: Mapping[str, Any]) -> dict[str, Any]:
    shown = "%{y:.1%}" if summary.share else "%{y:.4g}"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(curve),
        "y": [round(value, 6) for value in curve.values()],
        "line": dict(style),
        "marker": {"size": 5, "color": style["color"]},
        "hovertemplate": f"{name}, epoch %{{x}}: {shown}<extra></extra>",
    }


def hypervolume_figure(summary: Summary, colours: Palette) -> Figure:
    """The dominated hypervolume after each trial that has values, and, for kas, that of the original alone."""
    numbers = [trial for trial, _ in summary.hypervolume]
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "hypervolume",
        "x": numbers,
        "y": [round(volume, 6) for _, volume in summary.hypervolume],
        "line": {"color": colours["front"], "width": 2.5, "shape": "hv"},
        "hovertemplate": "after trial %{x}: %{y:.4g}<extra></extra>",
    }
    frame = layout(colours, "trial", "hypervolume")
    frame["showlegend"] = False
    original = summary.original_hypervolume
    if original is not None and numbers:
        frame["shapes"] = [line(colours, x0=0, x1=1, xref="paper", y0=original, y1=original)]
        frame["annotations"] = [label("original alone", colours, x=1, xref="paper", xanchor="right", y=original)]
    return {"data": [trace], "layout": frame}
