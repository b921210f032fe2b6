"""Drawing a kernel's micro-DAG as SVG or PNG, with matplotlib alone: no system binary, no state of pyplot."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path as FilePath
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path

from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.lowering.geometry import FONT, OP, SMALL, Box, Swatch, plan
from kas.lowering.labels import COLOURS

__all__ = ["draw", "figure", "png_bytes", "svg_text"]

_LINE = "#78909c"
_DPI = 120


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
    with rc_context({"svg.hashsalt": "kas", "svg.fonttype": "path", "font.family": FONT}):
        figure(kernel).savefig(stream, format=form, **options)
    return stream.getvalue()


def figure(kernel: Kernel) -> Figure:
    """The drawing as a figure; its texts and boxes have the id of what they show."""
    found = plan(kernel)
    width, height = found.right - found.left, found.top - found.bottom
    figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(found.left, found.right), ylim=(found.bottom, found.top))
    axes.set_axis_off()
    for start, pieces in found.edges:
        _draw_edge(axes, start, pieces)
    for number, box in enumerate(found.boxes):
        _draw_box(axes, box, f"box-{number}")
    for swatch in found.legend:
        _draw_swatch(axes, swatch)
    return figure


def _draw_edge(axes: Axes, start: tuple[float, float], pieces: list[tuple[tuple[float, float], ...]]) -> None:
    points, codes = [start], [Path.MOVETO]
    for piece in pieces:
        points += piece
        codes += [Path.LINETO if len(piece) == 1 else Path.CURVE4] * len(piece)
    path = Path(points, codes)
    axes.add_patch(PathPatch(path, fill=False, edgecolor=_LINE, linewidth=1.0, capstyle="round", gid="edge"))
    (x, y), size = points[-1], 3.2
    head = Path([(x, y), (x - size, y + 1.9 * size), (x + size, y + 1.9 * size), (x, y)], [Path.MOVETO, *[Path.LINETO] * 3])
    axes.add_patch(PathPatch(head, facecolor=_LINE, edgecolor="none"))


def _draw_box(axes: Axes, box: Box, name: str) -> None:
    fill, outline = COLOURS[box.family]
    patch = FancyBboxPatch(
        (box.x - box.width / 2 + 4, box.top - box.height + 4),
        box.width - 8,
        box.height - 8,
        boxstyle="round,pad=4,rounding_size=6",
        facecolor=fill,
        edgecolor=outline,
        linewidth=1.1,
        gid=name,
    )
    axes.add_patch(patch)
    colour = "white" if not box.family else "#212121"
    middle = box.top - box.height / 2
    title = middle + (SMALL / 2 + 2 if box.detail else 0)
    centred: dict[str, Any] = {"ha": "center", "va": "center_baseline", "gid": f"in-{name}"}
    axes.text(box.x, title, box.title, fontsize=OP, weight="bold", color=colour, **centred)
    if box.detail:
        axes.text(box.x, middle - OP / 2 - 2, box.detail, fontsize=SMALL, color="#546e7a", **centred)
    if box.shape:
        axes.text(*box.label, box.shape, fontsize=SMALL, ha="left", va="center_baseline", color="#455a64", gid=f"shape-{name}")


def _draw_swatch(axes: Axes, swatch: Swatch) -> None:
    """A square in a family's colours, and its name."""
    fill, outline = COLOURS[swatch.family]
    side = SMALL
    axes.add_patch(Rectangle((swatch.x, swatch.y - side / 2), side, side, facecolor=fill, edgecolor=outline, linewidth=0.9))
    text: dict[str, Any] = {"ha": "left", "va": "center_baseline", "gid": "legend"}
    axes.text(swatch.x + side + 4, swatch.y, swatch.family, fontsize=SMALL, color="#455a64", **text)
