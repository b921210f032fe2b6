"""Drawings: the same every time, nothing overlaps, no global state."""

import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache
from itertools import combinations

import pytest
from lowering_comparison import random_program
from lowering_programs import PROGRAMS

from kas import zoo
from kas.language import Dim, KasError
from kas.lowering import drawing
from kas.lowering.drawing import draw, png_bytes, svg_text
from kas.lowering.labels import dim_text, shape_text, step_text
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


def boxes(kernel):
    """The rectangles of all nodes with their shape labels: left, right, top, bottom."""
    nodes, edges = drawing._nodes(kernel), drawing._edges(kernel)
    places = layout(edges, {number: node.room for number, node in nodes.items()}, drawing._GAP)
    tops, heights, _ = drawing._rows(places, nodes)
    for number, node in nodes.items():
        depth = places.layer[number]
        x = places.x[number, depth]
        yield x - node.room / 2, x + node.room / 2, tops[depth], tops[depth] + heights[depth] + drawing._STEM


def test_nothing_overlaps_in_large_programs():
    for kernel in large_kernels():
        for a, b in combinations(boxes(kernel), 2):
            assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2]


def test_a_large_program_is_drawn():
    assert png_bytes(large_kernels()[0]).startswith(b"\x89PNG")


def test_edges_pass_between_the_boxes():
    for kernel in large_kernels():
        nodes, edges = drawing._nodes(kernel), drawing._edges(kernel)
        places = layout(edges, {number: node.room for number, node in nodes.items()}, drawing._GAP)
        for source, target in edges:
            for key in places.route(source, target)[1:]:
                for other, depth in places.layers[key[1]]:
                    if places.layer[other] == depth and other != key[0]:
                        assert abs(places.x[key] - places.x[other, depth]) > nodes[other].room / 2


def test_layers_go_down():
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    found = layout(edges, dict.fromkeys(range(4), 10.0), 5.0)
    assert all(found.layer[a] < found.layer[b] for a, b in edges)
    assert found.route(0, 3) == [(0, 0), (0, 1)]


def test_words():
    assert dim_text(Dim.of("9*C*C*H/4")) == "9·C²·H/4"
    assert shape_text(PROGRAMS["fc"].shapes[0]) == "C | H, W"
    assert shape_text(zoo.get("involution").shapes[4]) == "C, kh=3, kw=3 | H, W"
    texts = {step_text(step) for step in PROGRAMS["involution with a softmax"].steps}
    assert texts == {"conv → 9 3×3", "softmax 0.c", "unfold hw 3 d=2", "mul", "fold 0.kh 0.kw mean"}
