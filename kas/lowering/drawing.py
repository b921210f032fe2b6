"""Drawing a kernel's micro-DAG as SVG or PNG, with matplotlib alone: no system binary, no state of pyplot."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path as FilePath
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.lowering.labels import COLOURS, FAMILY_OF, cost_text, shape_text, step_text
from kas.lowering.layout import Layout, layout

__all__ = ["draw", "png_bytes", "svg_text"]

# Points (1/72 inch).
_OP, _SMALL = 10.0, 7.0
_PAD, _GAP, _MARGIN = 9.0, 22.0, 12.0
_STEM, _CURVE = 16.0, 20.0  # below a node: its shape beside the stem of its edges, then the edges turn
_DPI = 144


def draw(kernel: Kernel, path: str | FilePath) -> FilePath:
    """Draw the kernel to a `.svg` or `.png` file. Raises KasError for another suffix."""
    target = FilePath(path)
    writers: dict[str, Callable[[Kernel], bytes]] = {".svg": lambda k: svg_text(k).encode(), ".png": png_bytes}
    if target.suffix.lower() not in writers:
        raise KasError(f"a drawing is a .svg or .png file, not {target.name!r}")
    content = writers[target.suffix.lower()](kernel)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=target.suffix)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(name, target)
    return target


def svg_text(kernel: Kernel) -> str:
    """The drawing as SVG text, the same for the same kernel."""
    return _render(kernel, "svg", metadata={"Date": None, "Creator": None}).decode()


def png_bytes(kernel: Kernel) -> bytes:
    """The drawing as a PNG file, the same for the same kernel."""
    return _render(kernel, "png", dpi=_DPI, metadata={"Software": None})


def _render(kernel: Kernel, form: str, **options: Any) -> bytes:
    stream = BytesIO()
    with rc_context({"svg.hashsalt": "kas", "svg.fonttype": "path", "font.family": "DejaVu Sans"}):
        _figure(kernel).savefig(stream, format=form, **options)
    return stream.getvalue()


class _Node:
    """What is written in and under a box, and how large that makes it."""

    def __init__(self, title: str, detail: str, shape: str, family: str):
        self.title, self.detail, self.shape, self.family = title, detail, shape, family
        inner = max(_width(title, _OP, bold=True), _width(detail, _SMALL))
        self.width = inner + 2 * _PAD
        self.room = max(self.width, 2 * _width(shape, _SMALL) + 12)  # the shape stands to the right of the stem
        self.height = 2 * _PAD + _OP + (_SMALL + 4 if detail else 0) - 4


def _nodes(kernel: Kernel) -> dict[int, _Node]:
    """A node for each tensor (0 is the input), and one for the output."""
    nodes = {0: _Node("input", "", shape_text(kernel.shapes[0]), "")}
    for number, (step, outcome) in enumerate(zip(kernel.steps, kernel.outcomes, strict=True), 1):
        title = f"{number}  {step_text(step)}"
        nodes[number] = _Node(title, cost_text(outcome), shape_text(outcome.shape), FAMILY_OF[step.op])
    nodes[len(nodes)] = _Node("output", "", "", "")
    return nodes


def _edges(kernel: Kernel) -> list[tuple[int, int]]:
    edges = [(i, number) for number, step in enumerate(kernel.steps, 1) for i in step.ins]
    read = {i for i, _ in edges}
    last = len(kernel.steps) + 1
    return [*edges, *((i, last) for i in range(last) if i not in read)]


def _figure(kernel: Kernel) -> Figure:
    nodes, edges = _nodes(kernel), _edges(kernel)
    places = layout(edges, {number: node.room for number, node in nodes.items()}, _GAP)
    tops, heights, total = _rows(places, nodes)
    left = min(places.x[number, places.layer[number]] - node.room / 2 for number, node in nodes.items())
    left = min(left, min(places.x.values()) - 4) - _MARGIN
    right = max(places.x[number, places.layer[number]] + node.room / 2 for number, node in nodes.items())
    right = max(right, max(places.x.values()) + 4) + _MARGIN
    height = total + 2 * _MARGIN
    figure = Figure(figsize=((right - left) / 72, height / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(-total - _MARGIN, _MARGIN))
    axes.set_axis_off()
    for source, target in dict.fromkeys(edges):
        for port in _ports(edges, source, target):
            _draw_edge(axes, places, nodes, tops, heights, source, target, port)
    for number, node in nodes.items():
        depth = places.layer[number]
        _draw_node(axes, node, places.x[number, depth], -tops[depth], heights[depth])
    return figure


def _rows(places: Layout, nodes: dict[int, _Node]) -> tuple[list[float], list[float], float]:
    """Top and height of each layer, downwards from 0, and the whole height."""
    heights = [max((nodes[n].height for n, d in layer if places.layer[n] == d), default=0.0) for layer in places.layers]
    tops, at = [], 0.0
    for height in heights:
        tops.append(at)
        at += height + _STEM + _CURVE
    return tops, heights, at - _STEM - _CURVE


def _ports(edges: list[tuple[int, int]], source: int, target: int) -> list[float]:
    """Where on the top of the target the edges end: the left operand left of the right one."""
    into = [s for s, t in edges if t == target]
    if len(into) == 1:
        return [0.0]
    return [(-0.25, 0.25)[i] for i, s in enumerate(into) if s == source]


def _draw_edge(
    axes: Axes,
    places: Layout,
    nodes: dict[int, _Node],
    tops: list[float],
    heights: list[float],
    source: int,
    target: int,
    port: float,
) -> None:
    """Down the stem, past the layers between, and into the target."""
    depth = places.layer[source]
    x, y = places.x[source, depth], -tops[depth] - nodes[source].height
    points, codes = [(x, y)], [Path.MOVETO]
    for key in places.route(source, target):
        bottom = -tops[key[1]] - heights[key[1]] - _STEM
        points.append((places.x[key], bottom))
        codes.append(Path.LINETO)
        below = key[1] + 1
        end = -tops[below]
        goal = places.x[source, below] if below < places.layer[target] else places.x[target, below] + port * nodes[target].width
        middle = (bottom + end) / 2
        points += [(places.x[key], middle), (goal, middle), (goal, end)]
        codes += [Path.CURVE4] * 3
    axes.add_patch(PathPatch(Path(points, codes), fill=False, edgecolor="#78909c", linewidth=1.0, capstyle="round"))
    (x, y), size = points[-1], 3.2
    head = Path([(x, y), (x - size, y + 1.9 * size), (x + size, y + 1.9 * size), (x, y)], [Path.MOVETO, *[Path.LINETO] * 3])
    axes.add_patch(PathPatch(head, facecolor="#78909c", edgecolor="none"))


def _draw_node(axes: Axes, node: _Node, x: float, top: float, row: float) -> None:
    fill, outline = COLOURS[node.family]
    box = FancyBboxPatch(
        (x - node.width / 2 + 4, top - node.height + 4),
        node.width - 8,
        node.height - 8,
        boxstyle="round,pad=4,rounding_size=6",
        facecolor=fill,
        edgecolor=outline,
        linewidth=1.1,
    )
    axes.add_patch(box)
    colour = "white" if not node.family else "#212121"
    middle = top - node.height / 2
    title = middle + (_SMALL / 2 + 2 if node.detail else 0)
    axes.text(x, title, node.title, fontsize=_OP, weight="bold", ha="center", va="center_baseline", color=colour)
    if node.detail:
        axes.text(x, middle - _OP / 2 - 2, node.detail, fontsize=_SMALL, ha="center", va="center_baseline", color="#546e7a")
    if node.shape:
        axes.text(x + 5, top - row - _STEM / 2, node.shape, fontsize=_SMALL, ha="left", va="center_baseline", color="#455a64")


@lru_cache(maxsize=4096)
def _width(text: str, size: float, bold: bool = False) -> float:
    """The width of a text in points."""
    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1)
