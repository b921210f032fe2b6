"""Estimated scales against modules, and the initial weights that they lead to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import kas
from kas.language.costs import environment
from kas.language.scales import Analysis, analyse

CHANNELS, SIZE, VALUES = 32, (16, 16), {"x0": 24}

CONV = {"op": "conv", "ins": [0], "to": "C", "k": [3, 3]}
FC = {"op": "fc", "ins": [0], "to": "C"}
SOFTMAX = {"op": "softmax", "ins": [0], "axes": ["1.h", "1.w"]}
PROGRAMS: dict[str, list[dict[str, Any]]] = {
    "relu": [CONV, {"op": "relu", "ins": [1]}],
    "relu between": [{**CONV, "to": "x0"}, {"op": "relu", "ins": [1]}, {**FC, "ins": [2]}],
    "softmax then fc": [SOFTMAX, {**FC, "ins": [1]}],
    "softmax, mean, fc": [
        {**CONV, "to": "x0"},
        {**SOFTMAX, "ins": [1]},
        {"op": "fold", "ins": [2], "axes": ["1.h"], "how": "mean"},
        {"op": "fc", "ins": [3], "to": "C"},
        {"op": "add", "ins": [4, 0]},
    ],
    "squeeze and gate": [
        {"op": "fold", "ins": [0], "axes": ["1.h", "1.w"], "how": "mean"},
        {**FC, "ins": [1]},
        {"op": "sigmoid", "ins": [2]},
        {"op": "mul", "ins": [3, 0]},
    ],
    "attention": [
        {**FC, "to": "x0"},
        {**FC, "to": "x0"},
        FC,
        {"op": "matmul", "ins": [1, 2], "t": [True, False], "softmax": True},
        {"op": "matmul", "ins": [3, 4], "t": [False, True]},
        {"op": "fc", "ins": [5], "to": "C"},
    ],
    "gram": [{"op": "matmul", "ins": [0, 0], "t": [False, True]}, {"op": "matmul", "ins": [1, 0]}, {**FC, "ins": [2]}],
    "product of rows": [CONV, {"op": "mul", "ins": [1, 0]}, {"op": "gelu", "ins": [2]}],
    "maximum": [CONV, {"op": "unfold", "ins": [1], "over": "hw", "k": 3},
                {"op": "fold", "ins": [2], "axes": ["0.kh", "0.kw"], "how": "max"}],
    "quotient": [CONV, {"op": "exp", "ins": [1]}, {**FC}, {"op": "div", "ins": [3, 2]}],
    "scale after softmax": [CONV, {**SOFTMAX, "ins": [1]}, {"op": "sqrt", "ins": [2]},
                            {"op": "scale", "ins": [3], "axes": ["0.c"]}, {**FC, "ins": [4]}],
    "scaled taps": [{"op": "unfold", "ins": [0], "over": "hw", "k": 3},
                    {"op": "scale", "ins": [1], "axes": ["0.c", "0.kh", "0.kw"]},
                    {"op": "fold", "ins": [2], "axes": ["0.kh", "0.kw"], "how": "mean"}],
    "normalised": [{"op": "normalize", "ins": [0], "axes": ["0.c"], "how": "l2"}, {**CONV, "ins": [1]},
                   {"op": "normalize", "ins": [2], "axes": ["1.h", "1.w"], "how": "standard"}],
    "minimum and difference": [CONV, {"op": "min", "ins": [1, 0]}, {"op": "abs", "ins": [1]}, {"op": "sub", "ins": [2, 3]}],
    "window attention": [FC, FC, FC, *[{"op": "group", "ins": [i], "by": "G"} for i in (1, 2, 3)],
                         *[{"op": "window", "ins": [i], "over": "hw", "size": 4, "grid": True} for i in (4, 5, 6)],
                         {"op": "bmm", "ins": [7, 8], "batch": ["g", "kh", "kw"], "t": [True, False], "softmax": True},
                         {"op": "bmm", "ins": [9, 10], "batch": ["g", "kh", "kw"], "t": [False, True]},
                         {"op": "unwindow", "ins": [11], "over": "hw", "grid": True}, {"op": "ungroup", "ins": [12]}],
    "gram of each head": [{"op": "group", "ins": [0], "by": "G"},
                          {"op": "bmm", "ins": [1, 1], "batch": ["g"], "t": [False, True]},
                          {"op": "bmm", "ins": [2, 1], "batch": ["g"]}],
    "row products": [FC, {"op": "bmm", "ins": [0, 1], "batch": ["h"], "t": [True, False]},
                     {"op": "bmm", "ins": [0, 2], "batch": ["h"], "t": [False, True]}],
    "reassembled": [{"op": "unfold", "ins": [0], "over": "hw", "k": 3}, {**FC, "to": "9"},
                    {"op": "reassemble", "ins": [1, 2]}],
    "reassembled by shares": [{"op": "unfold", "ins": [0], "over": "hw", "k": 5}, {**FC, "to": "25"},
                              {"op": "softmax", "ins": [2], "axes": ["0.c"]}, {"op": "reassemble", "ins": [1, 3]}],
    "outlook": [{"op": "unfold", "ins": [0], "over": "hw", "k": 3}, {**FC, "to": "81"},
                {"op": "subpixel", "ins": [2], "over": "hw", "k": 3}, {"op": "softmax", "ins": [3], "axes": ["0.c"]},
                {"op": "reassemble", "ins": [1, 4]}, {"op": "col2im", "ins": [5], "over": "hw"}],
    "overlapping sum": [{**FC, "to": "9*C"}, {"op": "subpixel", "ins": [1], "over": "hw", "k": 3},
                        {"op": "col2im", "ins": [2], "over": "hw"}],
    "mean pool": [CONV, {"op": "pool", "ins": [1], "over": "hw", "k": 2, "how": "mean"},
                  {"op": "upsample", "ins": [2], "over": "hw", "k": 2}],
    "maximum pool of a channel": [{**FC, "to": "1"}, {"op": "pool", "ins": [1], "over": "hw", "k": 4, "how": "max"},
                                  {"op": "upsample", "ins": [2], "over": "hw", "k": 4}, {"op": "mul", "ins": [3, 0]}],
    "pixel shuffle": [{"op": "window", "ins": [0], "over": "hw", "size": 2}, {"op": "fc", "ins": [1], "to": "4*C"},
                      {"op": "subpixel", "ins": [2], "over": "hw", "k": 2},
                      {"op": "unwindow", "ins": [3], "over": "hw"}],
    "parts": [{"op": "spatial_shift", "ins": [0], "by": [[1, 0], [-1, 0]], "pad": "zero"}, {"op": "mul", "ins": [0, 1]}],
    "filter of means": [{"op": "fold", "ins": [0], "axes": ["1.h", "1.w"], "how": "mean"},
                        {"op": "filter", "ins": [1], "axis": "0.c", "k": 3}, {"op": "mul", "ins": [2, 0]}],
    "filters of attention": [SOFTMAX, {"op": "filter", "ins": [1], "axis": "1.h", "k": 3},
                             {"op": "filter", "ins": [2], "axis": "1.w", "k": 5}, {**FC, "ins": [3]}],
    "filter of what was summed": [CONV, {"op": "filter", "ins": [1], "axis": "0.c", "k": 7, "d": 2},
                                  {"op": "fold", "ins": [2], "axes": ["0.c"], "how": "mean"},
                                  {"op": "mul", "ins": [3, 0]}],
    "mean of patches": [{"op": "window", "ins": [0], "over": "hw", "size": 4},
                        {"op": "fold", "ins": [1], "axes": ["0.kh", "0.kw"], "how": "mean"},
                        {"op": "upsample", "ins": [2], "over": "hw", "k": 4}],
}  # fmt: skip


def analysis_of(kernel: kas.Kernel) -> Analysis:
    values = {name: VALUES[name] for name in kernel.variables}
    return analyse(kernel.steps, kernel.shapes, environment(kernel, CHANNELS, SIZE, 4, values))


def kernel_of(steps: list[dict[str, Any]]) -> kas.Kernel:
    return kas.Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": steps})


def module_of(kernel: kas.Kernel, lowering: str = "optimized") -> torch.nn.Module:
    torch.manual_seed(0)
    values = {name: VALUES[name] for name in kernel.variables}
    return kas.build(kernel, channels=CHANNELS, size=SIZE, groups=4, values=values, lowering=lowering)


@pytest.mark.parametrize("name", PROGRAMS)
def test_scale_is_as_estimated(name: str) -> None:
    kernel = kernel_of(PROGRAMS[name])
    analysis = analysis_of(kernel)
    with torch.no_grad():
        real = float(module_of(kernel)(torch.randn(8, CHANNELS, *SIZE)).std())
    assert real / 2 < analysis.scale < 2 * real
    assert analysis.dependence > 0.1
    assert not analysis.without_effect()


@pytest.mark.parametrize("name", ["softmax, mean, fc", "scale after softmax", "scaled taps"])
def test_lowerings_start_alike(name: str) -> None:
    kernel = kernel_of(PROGRAMS[name])
    plain, optimized = (module_of(kernel, lowering) for lowering in ("plain", "optimized"))
    for ours, theirs in zip(plain.parameters(), optimized.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_restore_the_scale() -> None:
    module = module_of(kernel_of(PROGRAMS["softmax then fc"]))
    (weight,) = module.parameters()
    expected = 16 * 16 / (CHANNELS * 2.718) ** 0.5  # a softmax of 256 unit normal values has a second moment of e/256²
    assert float(weight.detach().std()) == pytest.approx(expected, rel=0.1)


def test_what_ignores_the_input_is_seen() -> None:
    steps = [
        {"op": "normalize", "ins": [0], "axes": ["0.c"], "how": "standard"},
        {"op": "shift", "ins": [1], "axes": ["1.h"], "by": 1},
        {"op": "fold", "ins": [2], "axes": ["1.h"], "how": "mean"},
        {"op": "neg", "ins": [3]},
        {"op": "fold", "ins": [4], "axes": ["0.c"], "how": "mean"},
        {"op": "add", "ins": [5, 0]},
        {"op": "sub", "ins": [6, 0]},
    ]
    assert not analysis_of(kernel_of(steps)).signals[5].parts


def test_weights_without_effect_are_seen() -> None:
    bias = {"op": "bias", "ins": [1], "axes": ["0.c"]}
    steps = [CONV, bias, {"op": "neg", "ins": [2]}, {**SOFTMAX, "ins": [3]}, {**FC, "ins": [4]}]
    assert analysis_of(kernel_of(steps)).without_effect() == [2]
    steps[3] = {"op": "softmax", "ins": [3], "axes": ["0.c"]}
    assert not analysis_of(kernel_of(steps)).without_effect()


def test_a_constant_has_no_scale() -> None:
    steps = [CONV, {"op": "relu", "ins": [1]}, {"op": "neg", "ins": [2]}, {"op": "relu", "ins": [3]}]
    analysis = analysis_of(kernel_of(steps))
    assert analysis.scale == 0
    assert not analysis.is_sane
