"""Known kernels are recognised in other spellings, with other widths and other numbers of groups; others are not."""

from __future__ import annotations

import pytest

import kas
from kas.zoo import known_as, known_hashes
from kas.zoo._registry import program
from kas.zoo.variants import loosened, variants

FC, RELU = {"op": "fc", "to": "C"}, {"op": "relu"}
DEPTHWISE = {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True}


def conv(to: str, **more: object) -> dict[str, object]:
    return {"op": "conv", "to": to, "k": [3, 3], **more}


def squeeze(to: str) -> kas.Kernel:
    return program(
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "fc", "to": to},
        RELU,
        FC,
        {"op": "sigmoid"},
        {"op": "mul", "ins": [5, 0]},
    )


def attention(key: str, value: str, *, first: tuple[int, int] = (1, 2)) -> kas.Kernel:
    return program(
        {"op": "fc", "ins": [0], "to": key},
        {"op": "fc", "ins": [0], "to": key},
        {"op": "fc", "ins": [0], "to": value},
        {"op": "matmul", "ins": list(first), "t": [True, False], "softmax": True},
        {"op": "matmul", "ins": [3, 4], "t": [False, True]},
        FC,
    )


MATCHES = {
    "depthwise by unfold": ("depthwise3x3", program({"op": "unfold", "over": "hw", "k": 3}, {"op": "group", "by": "C"}, FC)),
    "dense by unfold": ("conv3x3", program({"op": "unfold", "over": "hw", "k": 3}, FC)),
    "separable by unfold": (
        "depthwise_separable",
        program({"op": "unfold", "over": "hw", "k": 3}, {"op": "group", "by": "C"}, FC, RELU, RELU, FC),
    ),
    "another variable": ("bottleneck", program({"op": "fc", "to": "x3"}, RELU, conv("x3"), RELU, FC)),
    "two widths": ("bottleneck", program({"op": "fc", "to": "x0"}, RELU, conv("x1"), RELU, FC)),
    "a fixed width": ("bottleneck", program({"op": "fc", "to": "C/4"}, RELU, conv("C/4"), RELU, FC)),
    "two fixed widths": ("bottleneck", program({"op": "fc", "to": "C/2"}, RELU, conv("2*C"), RELU, FC)),
    "fixed and free": ("bottleneck", program({"op": "fc", "to": "C/2"}, RELU, conv("x0"), RELU, FC)),
    "a free width for a fixed one": (
        "squeeze_excitation",
        program(
            DEPTHWISE,
            {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
            {"op": "fc", "to": "x0"},
            RELU,
            FC,
            {"op": "sigmoid"},
            {"op": "mul", "ins": [6, 1]},
            FC,
        ),
    ),
    "the gate of C/4": ("squeeze_excitation_gate", squeeze("C/4")),
    "groups by number": ("grouped3x3", program({"op": "group", "by": "8"}, conv("C"))),
    "shuffle by number": (
        "grouped1x1_shuffle",
        program({"op": "group", "by": "4"}, FC, {"op": "group", "by": "4"}, {"op": "transpose"}, {"op": "ungroup"}),
    ),
    "groups and width": (
        "resnext",
        program({"op": "fc", "to": "C/2"}, RELU, {"op": "group", "by": "4"}, conv("C/2"), RELU, FC),
    ),
    "values of another width": ("self_attention", attention("x0", "x1")),
    "keys for queries": ("self_attention", attention("x0", "C/2", first=(2, 1))),
    "a filter before the mean": (
        "eca",
        program(
            {"op": "filter", "axis": "0.c", "k": 3},
            {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
            {"op": "sigmoid"},
            {"op": "mul", "ins": [3, 0]},
        ),
    ),
    "a filter of channels, folded one axis after the other": (
        "eca",
        program(
            {"op": "fold", "axes": ["1.h"], "how": "mean"},
            {"op": "filter", "axis": "0.c", "k": 3},
            {"op": "fold", "axes": ["1.w"], "how": "mean"},
            {"op": "sigmoid"},
            {"op": "mul", "ins": [4, 0]},
        ),
    ),
    "a wide feed-forward": ("feed_forward", program({"op": "fc", "to": "4*C"}, RELU, FC)),
}
OTHERS = {
    "5x5": program({"op": "conv", "to": "C", "k": [5, 5]}),
    "five taps along the channels": program(
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "filter", "axis": "0.c", "k": 5},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [3, 0]},
    ),
    "relu last": program(conv("C"), RELU),
    "a shuffle alone": program({"op": "group", "by": "G"}, {"op": "transpose"}),
    "bottleneck without a relu": program({"op": "fc", "to": "x0"}, conv("x0"), RELU, FC),
    "values by columns": program({"op": "unfold", "over": "w", "k": 3}, FC),
}


@pytest.mark.parametrize("name", kas.zoo.names())
def test_every_known_kernel_is_known_as_itself(name: str) -> None:
    assert known_as(kas.zoo.get(name)) == name


@pytest.mark.parametrize("case", MATCHES)
def test_matches(case: str) -> None:
    name, kernel = MATCHES[case]
    assert known_as(kernel) == name


@pytest.mark.parametrize("case", OTHERS)
def test_others_are_none_of_them(case: str) -> None:
    assert known_as(OTHERS[case]) is None


def test_every_loose_form_of_a_known_kernel_is_known() -> None:
    for name in kas.zoo.names():
        forms = list(loosened(kas.zoo.get(name)))
        assert forms
        for form in forms:
            assert known_as(form) is not None
    assert len(list(loosened(kas.zoo.get("two_head_attention")))) == 15  # the partitions of four widths


def test_the_table_is_made_once() -> None:
    assert len(known_hashes()) > 1000
    assert known_hashes() is known_hashes()
    assert set(known_hashes().values()) == set(kas.zoo.names())


def test_a_look_up_is_that_of_the_whole_table() -> None:
    for name in kas.zoo.names():
        made = list(variants(kas.zoo.get(name)))
        assert len({variant.steps for variant in made}) == len(made)
        for variant in made:
            assert known_as(variant) == known_hashes()[variant.hash]


def test_variants_are_legal_as_they_are() -> None:
    for name in ("resnext", "nonlocal_attention", "style_recalibration", "low_rank_linear"):
        made = list(variants(kas.zoo.get(name)))
        assert made
        for variant in made:
            assert kas.Kernel(variant.rank, variant.steps).outcomes == variant.outcomes
