"""Where everything in a drawing is, in points (1/72 inch), y upwards: boxes, the labels of edges, the edges, the legend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from kas.language.kernel import Kernel
from kas.lowering.labels import COLOURS, FAMILY_OF, cost_text, shape_text, step_text
from kas.lowering.layout import Layout, layout

__all__ = ["FONT", "OP", "SMALL", "Box", "Plan", "Swatch", "plan", "text_width"]

FONT = "DejaVu Sans"
OP, SMALL = 10.0, 7.0  # sizes of text
_PAD, _GAP, _MARGIN = 9.0, 20.0, 12.0
_STEM, _CURVE = 14.0, 16.0  # below a row: the shapes beside the stems of the edges, then the edges turn
_PORT = 0.25  # of the width of a box: how far from its centre the two operands of a step end
_SWATCH, _LEGEND = 9.0, 15.0  # the coloured square of a legend's entry, and the height of a row of them


@dataclass
class Box:
    """A tensor: what is written in its box and beside the stem below it. `x` is the centre, `top` and `height` of the box."""

    title: str
    detail: str
    shape: str
    family: str
    x: float = 0.0
    top: float = 0.0
    row: float = 0.0  # the height of its layer: where its stem's label begins

    @property
    def width(self) -> float:
        return max(text_width(self.title, OP, bold=True), text_width(self.detail, SMALL)) + 2 * _PAD

    @property
    def room(self) -> float:
        """The width that it takes in its layer; the shape stands to the right of the stem."""
        return max(self.width, 2 * text_width(self.shape, SMALL) + 12)

    @property
    def height(self) -> float:
        return 2 * _PAD + OP + (SMALL + 4 if self.detail else 0) - 4

    @property
    def label(self) -> tuple[float, float]:
        """Left end and middle of the shape's text."""
        return self.x + 5, self.top - self.row - _STEM / 2


@dataclass(frozen=True)
class Swatch:
    """An entry of the legend: its left end and middle."""

    family: str
    x: float
    y: float


@dataclass
class Plan:
    """A whole drawing. An edge is where it starts and the curves that it goes on with, each of three points."""

    boxes: list[Box]
    edges: list[tuple[tuple[float, float], list[tuple[tuple[float, float], ...]]]]
    legend: list[Swatch]
    left: float
    right: float
    bottom: float
    top: float


def plan(kernel: Kernel) -> Plan:
    """The plan of a kernel's drawing."""
    boxes, edges = _boxes(kernel), _edges(kernel)
    ends = {(s, t): _ports(edges, s, t) for s, t in edges}
    ports = {edge: sum(found) / len(found) * boxes[edge[1]].width for edge, found in ends.items()}
    places = layout(edges, {number: box.room for number, box in enumerate(boxes)}, _GAP, ports)
    tops = _rows(places, boxes)
    paths = [
        _path(places, boxes, tops, source, target, port)
        for source, target in dict.fromkeys(edges)
        for port in ends[source, target]
    ]
    points = [*places.x.values()]
    left = min([box.x - box.room / 2 for box in boxes] + [x - 4 for x in points]) - _MARGIN
    right = max([box.x + box.room / 2 for box in boxes] + [x + 4 for x in points]) + _MARGIN
    last = boxes[-1]
    families = [family for family in COLOURS if any(box.family == family for box in boxes) and family]
    need = max((_entry(family) for family in families), default=0.0) + 2 * _MARGIN
    right += max(0.0, need - (right - left)) / 2
    left -= max(0.0, need - (right - left))
    legend, bottom = _legend(families, left + _MARGIN, right - _MARGIN, last.top - last.height - 1.5 * _MARGIN)
    return Plan(boxes, paths, legend, left, right, bottom - _MARGIN, _MARGIN)


def _boxes(kernel: Kernel) -> list[Box]:
    """A box for each tensor (0 is the input), and one for the output."""
    boxes = [Box("input", "", shape_text(kernel.shapes[0]), "")]
    for number, (step, outcome) in enumerate(zip(kernel.steps, kernel.outcomes, strict=True), 1):
        cost = cost_text(step, outcome, kernel.shapes[step.ins[0]])
        boxes.append(Box(f"{number}  {step_text(step)}", cost, shape_text(outcome.shape), FAMILY_OF[step.op]))
    return [*boxes, Box("output", "", "", "")]


def _edges(kernel: Kernel) -> list[tuple[int, int]]:
    edges = [(i, number) for number, step in enumerate(kernel.steps, 1) for i in step.ins]
    read = {i for i, _ in edges}
    last = len(kernel.steps) + 1
    return [*edges, *((i, last) for i in range(last) if i not in read)]


def _rows(places: Layout, boxes: list[Box]) -> list[tuple[float, float]]:
    """Put the boxes in their rows, from 0 downwards; returns the top and the height of each row."""
    rows, at = [], 0.0
    for depth, layer in enumerate(places.layers):
        own = [boxes[number] for number, d in layer if places.layer[number] == d]
        height = max((box.height for box in own), default=0.0)
        for number, d in layer:
            if places.layer[number] == d:
                boxes[number].x, boxes[number].top, boxes[number].row = places.x[number, depth], at, height
        rows.append((at, height))
        at -= height + _STEM + _CURVE
    return rows


def _ports(edges: list[tuple[int, int]], source: int, target: int) -> list[float]:
    """Where on the top of the target the edges end: the left operand left of the right one."""
    into = [s for s, t in edges if t == target]
    if len(into) == 1:
        return [0.0]
    return [(-_PORT, _PORT)[i] for i, s in enumerate(into) if s == source]


def _path(
    places: Layout, boxes: list[Box], rows: list[tuple[float, float]], source: int, target: int, port: float
) -> tuple[tuple[float, float], list[tuple[tuple[float, float], ...]]]:
    """Down the stem, past the layers between, and into the target: straight pieces of one point, curves of three."""
    start = (boxes[source].x, boxes[source].top - boxes[source].height)
    pieces: list[tuple[tuple[float, float], ...]] = []
    for key in places.route(source, target):
        top, height = rows[key[1]]
        x, turn, end = places.x[key], top - height - _STEM, rows[key[1] + 1][0]
        below = key[1] + 1
        goal = places.x[source, below] if below < places.layer[target] else boxes[target].x + port * boxes[target].width
        middle = (turn + end) / 2
        pieces += [((x, turn),), ((x, middle), (goal, middle), (goal, end))]
    return start, pieces


def _entry(family: str) -> float:
    """The width of an entry of the legend."""
    return _SWATCH + 4 + text_width(family, SMALL) + 12


def _legend(families: list[str], left: float, right: float, top: float) -> tuple[list[Swatch], float]:
    """Rows of entries, and where they end."""
    entries, x, y = [], left, top - _LEGEND / 2
    for family in families:
        if x > left and x + _entry(family) > right + 12:
            x, y = left, y - _LEGEND
        entries.append(Swatch(family, x, y))
        x += _entry(family)
    return entries, y - _LEGEND / 2


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a text in points."""
    if not text:
        return 0.0
    font = FontProperties(family=FONT, weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1)
