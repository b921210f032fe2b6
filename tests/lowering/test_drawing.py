"""Drawings: the same every time, nothing overlaps, no global state."""

import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache
from itertools import combinations

import pytest
from lowering_comparison import random_program
from lowering_programs import PROGRAMS, op, program

from kas import zoo
from kas.language import Dim, KasError
from kas.lowering import drawing
from kas.lowering.drawing import draw, png_bytes, svg_text
from kas.lowering.geometry import plan
from kas.lowering.labels import cost_text, dim_text, shape_text, step_text
from kas.lowering.layout import layout

KERNELS = ["nonlocal_attention", "involution", "shufflenet_unit", "linear", "conv1d3"]


@pytest.mark.parametrize("name", KERNELS)
def test_svg(name, tmp_path):
    path = draw(zoo.get(name), tmp_path / "k.svg")
    root = ElementTree.fromstring(path.read_text())
    assert root.tag.endswith("svg")
    assert path.read_text() == svg_text(zoo.get(name))


def test_png(tmp_path):
    path = draw(zoo.get("involution"), str(tmp_path / "k.png"))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.read_bytes() == png_bytes(zoo.get("involution"))
    assert list(tmp_path.iterdir()) == [path]


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(KasError, match=r"a \.svg or \.png file, not 'k\.pdf'"):
        draw(zoo.get("involution"), tmp_path / "k.pdf")


def test_method_of_the_kernel(tmp_path):
    assert zoo.get("involution").draw(tmp_path / "k.svg") == tmp_path / "k.svg"


def test_neither_pyplot_nor_torch_is_loaded():
    code = (
        "import sys, kas.zoo as z; from kas.lowering.drawing import svg_text; svg_text(z.get('ghost'));"
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


@cache
def large_kernels():
    found = []
    for seed in range(400):
        kernel = random_program(random.Random(seed), 2, 25)
        if kernel is not None and len(kernel.steps) >= 20:
            found.append(kernel)
        if len(found) == 12:
            return found
    raise AssertionError("too few large programs")


def rectangles(kernel):
    """Every box, every shape beside an edge and every entry of the legend, as drawn: id, left, right, bottom, top."""
    drawn = drawing.figure(kernel)
    drawn.canvas.draw()
    (axes,) = drawn.axes
    for artist in (*axes.patches, *axes.texts):
        name = artist.get_gid() or ""
        if name.startswith(("box-", "shape-", "legend")):
            extent = artist.get_window_extent()
            yield name, extent.x0, extent.x1, extent.y0, extent.y1


def assert_nothing_overlaps(kernel):
    found = list(rectangles(kernel))
    for (_, *a), (_, *b) in combinations(found, 2):
        assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], kernel.to_json()
    width, height = drawing.figure(kernel).get_size_inches() * 72
    scale = drawing.figure(kernel).dpi / 72
    for name, left, right, bottom, top in found:
        assert left >= 0, name
        assert right <= width * scale, name
        assert bottom >= 0, name
        assert top <= height * scale, name


@pytest.mark.parametrize("name", zoo.names())
def test_nothing_overlaps_in_known_kernels(name):
    assert_nothing_overlaps(zoo.get(name))


def test_nothing_overlaps_in_large_programs():
    for kernel in large_kernels():
        assert_nothing_overlaps(kernel)


@pytest.mark.slow
def test_nothing_overlaps_from_3_to_25_steps():
    lengths = set()
    for seed in range(1200):
        kernel = random_program(random.Random(seed), 2, 3 + seed % 23)
        if kernel is not None and 3 <= len(kernel.steps) <= 25:
            lengths.add(len(kernel.steps))
            assert_nothing_overlaps(kernel)
    assert lengths == set(range(3, 26))


def test_texts_fit_their_boxes():
    for kernel in large_kernels()[:4]:
        drawn = drawing.figure(kernel)
        drawn.canvas.draw()
        (axes,) = drawn.axes
        boxes = {patch.get_gid(): patch.get_window_extent() for patch in axes.patches}
        for text in axes.texts:
            if (text.get_gid() or "").startswith("in-"):
                inner, outer = text.get_window_extent(), boxes[text.get_gid().removeprefix("in-")]
                assert outer.x0 < inner.x0
                assert inner.x1 < outer.x1
                assert outer.y0 < inner.y0
                assert inner.y1 < outer.y1


def test_a_large_program_is_drawn():
    assert png_bytes(large_kernels()[0]).startswith(b"\x89PNG")


def test_edges_pass_between_the_boxes():
    for kernel in large_kernels():
        found = plan(kernel)
        for start, pieces in found.edges:
            for x, y in (start, *(point for piece in pieces for point in piece)):
                for box in found.boxes:
                    inside = abs(x - box.x) < box.width / 2 and box.top - box.height < y < box.top
                    assert not inside


def test_straight_where_it_can_be():
    found = plan(program(*[op("relu"), op("tanh")] * 5, op("fc", to="C")))
    assert max(box.x for box in found.boxes) - min(box.x for box in found.boxes) < 1e-6


def test_legend_has_the_families_of_the_kernel():
    assert [swatch.family for swatch in plan(zoo.get("involution")).legend] == [
        "spatial", "reductions", "linear", "pointwise", "binary",
    ]  # fmt: skip


def test_layers_go_down():
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    found = layout(edges, dict.fromkeys(range(4), 10.0), 5.0)
    assert all(found.layer[a] < found.layer[b] for a, b in edges)
    assert found.route(0, 3) == [(0, 0), (0, 1)]


def test_words():
    assert dim_text(Dim.of("9*C*C*H/4")) == "9·C²·H/4"
    assert shape_text(PROGRAMS["fc"].shapes[0]) == "C | H, W"
    assert shape_text(zoo.get("involution").shapes[4]) == "C, kh=3, kw=3 | H, W"
    kernel = zoo.get("involution")
    assert cost_text(kernel.steps[0], kernel.outcomes[0], kernel.shapes[0]) == "C/4×C weights, C²·H·W/4 MACs"
    texts = {step_text(step) for step in PROGRAMS["involution with a softmax"].steps}
    assert texts == {"conv → 9 3×3", "softmax 0.c", "unfold hw 3 d=2", "mul", "fold 0.kh 0.kw mean"}
