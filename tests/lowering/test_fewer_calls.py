"""Forms with fewer calls and passes: divisions left to later products, sums in one call, rows where rows are cheap."""

from __future__ import annotations

import re

import pytest
from lowering_comparison import difference

from kas import zoo
from kas.language import Kernel
from kas.lowering import source
from kas.lowering.module_source import source as module_source

LARGE = [(12, 12), (13, 11)]  # so many scores that the fused call makes them


def kernel(*steps):
    return Kernel.from_dict({"format": "kas.kernel/1", "rank": 2, "steps": list(steps)})


def fc(i, to="C"):
    return {"op": "fc", "ins": [i], "to": to}


QKV = [fc(0, "C/2"), fc(0, "C/2"), fc(0, "C/2")]
SCORES = {"op": "matmul", "ins": [1, 2], "t": [True, False], "softmax": True}
VALUES = {"op": "matmul", "ins": [3, 4], "t": [False, True]}
ATTENTION = [*QKV, SCORES, VALUES]

LEFT = {
    "to a map": [*ATTENTION, fc(5)],
    "to a map with a bias": [*ATTENTION, fc(5), {"op": "bias", "ins": [6], "axes": ["0.c"]}],
    "to a map that is added": [*ATTENTION, fc(5), {"op": "add", "ins": [6, 0]}],
    "to a scale": [*ATTENTION, {"op": "scale", "ins": [5], "axes": ["0.c"]}, {"op": "relu", "ins": [6]}, fc(7)],
    "to a scale that is added": [
        *(fc(0), fc(0), fc(0), SCORES, VALUES),
        *({"op": "scale", "ins": [5], "axes": ["0.c"]}, {"op": "add", "ins": [6, 0]}),
    ],
    "to a product": [
        *ATTENTION,
        {"op": "matmul", "ins": [5, 1], "t": [False, True]},
        {**VALUES, "ins": [6, 2], "t": [True, False]},
        fc(7),
    ],
    "to several maps": [
        *(*ATTENTION, fc(5, "C/2"), fc(5, "C/2"), fc(5, "C/2")),
        *({**SCORES, "ins": [6, 7]}, {**VALUES, "ins": [8, 9]}, fc(10)),
    ],
}


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("sizes", [LARGE, None])
def test_a_division_is_left(name, sizes):
    forward = source(kernel(*LEFT[name]), channels=16, size=LARGE[0]).split("def forward")[1].split("\n\n\n")[0]
    assert not re.search(r"(?<!, 1)\) / ", forward)  # nothing but the column of a scale is divided
    assert difference(kernel(*LEFT[name]), sizes=sizes) < 1e-9


@pytest.mark.parametrize("name", ["nonlocal_attention", "axial_attention", "patchwise_attention", "channel_attention"])
def test_known_attention_has_no_pass_for_its_division(name):
    known = zoo.get(name)
    values = dict.fromkeys(known.variables, 16)
    text = source(known, channels=64, size=(32, 32), groups=4, values=values)
    assert "** 0.5" in text
    assert ") / (" not in text


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("self_attention", "unsqueeze(1).chunk(3, 3)"),
        ("axial_attention", "permute(0, 2, 1, 3).chunk(3, 3)"),
        ("patchwise_attention", "reshape(n, 4, h * w // 4, 48).chunk(3, 3)"),
        ("multi_head_attention", "reshape(n, h * w, 3, 4, 16).permute(2, 0, 3, 1, 4).unbind()"),
    ],
)
def test_queries_keys_and_values_are_parts_of_one_product(name, parts):
    known = zoo.get(name)
    text = module_source(known, channels=64, size=(32, 32), groups=4, values=dict.fromkeys(known.variables, 16))
    assert re.search(r"= (x|t\d+)\.[^\n]*" + re.escape(parts), text), text
    assert "narrow" not in text
    assert difference(known, sizes=LARGE) < 1e-9


def test_a_value_that_others_read_is_divided():
    program = kernel(*ATTENTION, {"op": "relu", "ins": [5]}, {"op": "add", "ins": [5, 6]}, fc(7))
    text = source(program, channels=16, size=(12, 12))
    assert text.count(") / (h * w) ** 0.5") == 1
    assert difference(program, sizes=LARGE) < 1e-9


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("op", ["scale", "mul", "gate"])
def test_a_product_of_elements_is_added_in_one_call(op, first):
    made = {
        "scale": {"op": "scale", "ins": [1], "axes": ["0.c"]},
        "mul": {"op": "mul", "ins": [1, 0]},
        "gate": {"op": "mul", "ins": [2, 1]},
    }[op]
    start = [{"op": "relu", "ins": [0]}]
    if op == "gate":
        start.append({"op": "fold", "ins": [1], "axes": ["1.h", "1.w"], "how": "mean"})
    number = len(start) + 1
    ins = [[0, number], [number, 0]][first]
    program = kernel(*start, made, {"op": "add", "ins": ins}, fc(number + 1))
    assert "torch.addcmul(" in source(program, channels=16, size=(8, 8))
    assert difference(program) < 1e-9


LINES = {
    "normalised": {"op": "normalize", "axes": ["1.h", "1.w"], "how": "l2"},
    "scaled": {"op": "scale", "axes": ["0.c"]},
}


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("sides", [("normalised", "normalised"), ("scaled", "normalised"), ("normalised", "scaled")])
def test_what_channels_are_scaled_by_is_applied_to_their_scores(sides, softmax):
    first, second = LINES[sides[0]], LINES[sides[1]]
    program = kernel(
        *({"op": "relu", "ins": [0]}, {**first, "ins": [1]}, fc(0, "C/2"), {"op": "gelu", "ins": [3]}, {**second, "ins": [4]}),
        *(
            {"op": "matmul", "ins": [2, 5], "t": [False, True], "softmax": softmax},
            fc(0, "C/2"),
            {"op": "matmul", "ins": [6, 7]},
        ),
    )
    text = source(program, channels=16, size=(12, 12))
    assert text.count("vector_norm") == sides.count("normalised")
    assert "keepdim" not in text
    assert difference(program, sizes=LARGE) < 1e-9


def test_what_channels_are_scaled_by_is_applied_to_the_scores_of_each_head():
    known = zoo.get("xcit_attention")
    assert "keepdim" not in source(known, channels=32, size=(16, 16), groups=4)
    assert difference(known, channels=32, sizes=[(16, 16), (15, 18)]) < 1e-9


def test_an_image_that_several_maps_read_is_a_matrix_once():
    program = kernel(
        fc(0), fc(0), {"op": "mul", "ins": [1, 2]}, {"op": "relu", "ins": [3]}, fc(4), {"op": "add", "ins": [5, 0]}
    )
    text = source(program, channels=16, size=(8, 8))
    assert text.count("x.reshape(") == 1
    assert "pixels = x.reshape(" in text
    assert difference(program) < 1e-9


@pytest.mark.parametrize("over", ["hw", "h", "w"])
@pytest.mark.parametrize("grid", [False, True])
def test_windows_of_attention_are_put_back_as_rows(over, grid):
    window = {"op": "window", "over": over, "size": 2, "grid": grid}
    batch = [f"k{axis}" for axis in over]
    program = kernel(
        *(*QKV, *[{**window, "ins": [i]} for i in (1, 2, 3)]),
        {"op": "bmm", "ins": [4, 5], "batch": batch, "t": [True, False], "softmax": True},
        {"op": "bmm", "ins": [6, 7], "batch": batch, "t": [False, True]},
        {"op": "unwindow", "ins": [8], "over": over, "grid": grid},
        fc(9),
    )
    text = source(program, channels=16, size=(12, 12))
    assert "scaled_dot_product_attention" in text
    assert ".reshape(n, h * w, c // 2)" in text
    assert difference(program, sizes=[(12, 12), (14, 10)]) < 1e-9


@pytest.mark.parametrize("size", [(12, 12), (4, 4)])
def test_channels_of_a_map_are_standardised_as_rows(size):
    program = kernel(
        *(fc(0, "C/2"), {"op": "normalize", "ins": [1], "axes": ["0.c"], "how": "standard"}, {"op": "gelu", "ins": [2]}),
        *(fc(3), {"op": "conv", "ins": [3], "to": "C", "k": [3, 3]}, {"op": "add", "ins": [4, 5]}),
    )
    text = source(program, channels=16, size=size)
    assert ("F.layer_norm" in text) is (size == (12, 12))
    assert difference(program, sizes=[size, (13, 11)]) < 1e-9


def test_a_sum_of_products_by_rows_and_by_columns_is_not_put_in_order_first():
    known = zoo.get("criss_cross_attention")
    values = dict.fromkeys(known.variables, 8)
    text = source(known, channels=16, size=(12, 12), values=values)
    assert ".add_(" in text
    assert difference(known, values=values, sizes=LARGE) < 1e-9


@pytest.mark.parametrize(("to", "turned"), [("C/2", False), ("7", True)])
def test_scores_whose_columns_fill_no_vectors_are_made_turned(to, turned):
    program = kernel(
        *({"op": "gelu", "ins": [0]}, fc(0, to), {"op": "matmul", "ins": [1, 2], "t": [False, True], "softmax": True}),
        *({"op": "matmul", "ins": [3, 1], "t": [True, False]}, fc(4)),
    )
    text = source(program, channels=32, size=(12, 12))
    assert bool(re.search(r",\s+1,?\s*\)\.mT", text)) is turned
    assert difference(program, channels=32, sizes=LARGE) < 1e-9
