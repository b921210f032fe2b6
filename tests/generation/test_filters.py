"""Steps that are void, and steps next to them that are not."""

from __future__ import annotations

from typing import Any

import pytest

from kas.generation.filters import is_void
from kas.language.primitives import OPS, Step
from kas.language.shapes import Shape, input_shape


def made(op: str, ins: tuple[int, ...] | int = 0, **attributes: Any) -> Step:
    return OPS[op].from_dict({"op": op, "ins": [ins] if isinstance(ins, int) else list(ins), **attributes})


def is_last_void(steps: list[Step]) -> bool:
    shapes: list[Shape] = [input_shape(2)]
    for step in steps:
        shapes.append(step.apply(*(shapes[i] for i in step.ins)).shape)
    return is_void(steps[-1], steps[:-1], shapes[:-1])


CONV = made("conv", to="C", k=[3, 3])
SOFT = made("softmax", axes=["1.h", "1.w"])
ATTENTION = made("matmul", (0, 0), t=[True, False], softmax=True)
VOID = {
    "a weight on the input": [made("bias", axes=["0.c"])],
    "a scale after a linear map": [CONV, made("scale", 1, axes=["0.c"])],
    "a filter twice": [made("filter", axis="1.h", k=3), made("filter", 1, axis="1.h", k=5)],
    "a filter along channels that were mapped": [
        CONV,
        made("shift", 1, axes=["1.h"], by=1),
        made("filter", 2, axis="0.c", k=3),
    ],
    "relu twice": [CONV, made("relu", 1), made("relu", 2)],
    "relu of what is never negative": [CONV, made("sigmoid", 1), made("shift", 2, axes=["1.h"], by=1), made("relu", 3)],
    "relu of what is never positive": [CONV, made("relu", 1), made("neg", 2), made("relu", 3)],
    "a bias against what it was added to, grouped": [
        CONV,
        made("bias", 1, axes=["0.c"]),
        made("group", 2, by="G"),
        made("sub", (3, 1), swap=True),
    ],
    "relu of a negated minimum of nothing negative": [
        CONV,
        made("relu", 1),
        made("sigmoid", 1),
        made("min", (2, 3)),
        made("neg", 4),
        made("relu", 5),
    ],
    "relu of a negated sum of nothing negative": [
        CONV,
        made("relu", 1),
        made("sigmoid", 1),
        made("add", (2, 3)),
        made("neg", 4),
        made("relu", 5),
    ],
    "relu of an attention map": [ATTENTION, made("relu", 1)],
    "a softmax of a tensor with itself": [CONV, made("matmul", (1, 1), t=[True, False], softmax=True)],
    "sqr of sqrt": [CONV, made("sqrt", 1), made("sqr", 2)],
    "exp of a square": [CONV, made("sqr", 1), made("exp", 2)],
    "a third function in a row": [CONV, made("sin", 1), made("tanh", 2), made("gelu", 3)],
    "ungroup of group": [made("group", by="G"), made("ungroup", 1)],
    "softmax after a bias": [CONV, made("bias", 1, axes=["0.c"]), made("softmax", 2, axes=["1.h"])],
    "two folds": [made("fold", axes=["1.h"], how="mean"), made("fold", 1, axes=["1.w"], how="mean")],
    "one number for a sample, linear": [
        made("fold", axes=["1.h", "1.w"], how="max"),
        made("fc", 1, to="1"),
    ],
    "one number for a sample": [made("fold", axes=["1.h", "1.w"], how="max"), made("fold", 1, axes=["0.c"], how="mean")],
    "mean over a softmax": [SOFT, made("fold", 1, axes=["1.h", "1.w"], how="mean")],
    "mean over a softmax behind a view": [
        SOFT,
        made("group", 1, by="G"),
        made("shift", 2, axes=["1.h"], by=1),
        made("fold", 3, axes=["1.h", "1.w"], how="mean"),
    ],
    "mean over a softmax behind fc": [SOFT, made("fc", 1, to="x0"), made("fold", 2, axes=["1.h", "1.w"], how="mean")],
    "mean over a softmax behind another mean": [
        made("softmax", axes=["1.h"]),
        made("fold", 1, axes=["0.c"], how="mean"),
        made("neg", 2),
        made("fold", 3, axes=["1.h"], how="mean"),
    ],
    "mean over grouped channels that were normalised": [
        made("normalize", axes=["0.c"], how="standard"),
        made("group", 1, by="G"),
        made("fold", 2, axes=["0.g", "0.c"], how="mean"),
    ],
    "mean over a smooth function of a softmax": [
        SOFT,
        made("neg", 1),
        made("gelu", 2),
        made("fold", 3, axes=["1.h", "1.w"], how="mean"),
    ],
    "mean over a softmax behind a convolution along the other axis": [
        made("softmax", axes=["1.h"]),
        made("conv", 1, to="C", k=[1, 3]),
        made("fc", 2, to="C"),
        made("fold", 3, axes=["1.h", "1.w"], how="mean"),
    ],
    "mean over a softmax behind an unfold along the other axis": [
        made("softmax", axes=["1.h"]),
        made("unfold", 1, over="w", k=3, d=1),
        made("fold", 2, axes=["1.h"], how="mean"),
    ],
    "a softmax of exponentials": [CONV, made("exp", 1), made("softmax", 2, axes=["0.c"])],
    "mean over a sum with a softmax that is repeated over channels": [
        CONV,
        made("fold", axes=["0.c"], how="mean"),
        made("softmax", 2, axes=["1.h"]),
        made("add", (3, 1)),
        made("fold", 4, axes=["1.h"], how="mean"),
    ],
    "mean over a sum with a softmax": [
        SOFT,
        CONV,
        made("sub", (1, 2)),
        made("fold", 3, axes=["1.h", "1.w"], how="mean"),
    ],
    "mean over an attention map": [ATTENTION, made("fold", 1, axes=["1.h", "1.w"], how="mean")],
    "mean over the side that a product keeps": [
        SOFT,
        made("matmul", (0, 1), t=[True, False]),
        made("fold", 2, axes=["1.h", "1.w"], how="mean"),
    ],
    "one tensor twice": [CONV, made("add", (1, 1))],
    "x and its subpixels": [CONV, made("subpixel", 1, over="hw", k=2), made("sub", (1, 2))],
    "x and its grouping": [CONV, made("group", 1, by="G"), made("sub", (1, 2))],
    "x and x with a bias": [CONV, made("bias", 1, axes=["0.c"]), made("sub", (1, 2))],
    "maximum of signs": [made("relu"), made("relu"), made("neg", 2), made("max", (1, 3))],
    "five factors": [CONV, made("sqr", 1), made("mul", (2, 1)), made("mul", (3, 2))],
    "a quotient by a square": [made("sqr"), made("div", (0, 1))],
    "a quotient of an exponential": [CONV, made("sigmoid", 1), made("exp"), made("div", (3, 2))],
    "a quotient by what may be zero": [CONV, made("div", (0, 1))],
    "a quotient by a root": [CONV, made("sqrt", 1), made("div", (0, 2))],
    "a quotient by a mean of anything": [made("fold", axes=["0.c"], how="mean"), made("div", (1, 0), swap=True)],
    "a quotient by unfolded sigmoids, with zeros outside": [
        made("sigmoid"),
        made("unfold", 1, over="h", k=3, d=1),
        made("fold", 2, axes=["0.kh"], how="mean"),
        made("div", (0, 3)),
    ],
    "a difference that is undone": [CONV, made("sub", (0, 1)), made("add", (2, 1))],
    "a sum that is undone, the other way around": [CONV, made("add", (0, 1)), made("sub", (1, 2), swap=True)],
    "a difference from a difference": [CONV, made("relu"), made("sub", (1, 2)), made("sub", (1, 3))],
    "a negative that is added later": [
        CONV,
        made("add", (0, 1)),
        made("group", 1, by="G"),
        made("neg", 3),
        made("add", (4, 2)),
    ],
    "a product that is divided away": [CONV, made("sigmoid", 1), made("mul", (0, 2)), made("div", (3, 2))],
    "a maximum with a minimum of the same": [CONV, made("min", (0, 1)), made("max", (2, 1))],
    "a normalisation of taps": [made("unfold", over="w", k=7, d=1), made("normalize", 1, axes=["0.kw"], how="standard")],
    "a normalisation of a row": [CONV, made("relu", 1), made("normalize", 2, axes=["1.w"], how="l2")],
    "a normalisation of groups": [made("group", by="G"), made("normalize", 1, axes=["0.g"], how="l2")],
    "a bias on an unfolded softmax": [
        SOFT,
        made("neg", 1),
        made("unfold", 2, over="w", k=3, d=1),
        made("bias", 3, axes=["0.kw"]),
    ],
    "a bias on a softmax": [SOFT, made("bias", 1, axes=["0.c"])],
}
FINE = {
    "filters along two axes": [made("filter", axis="1.h", k=3), made("filter", 1, axis="0.c", k=3)],
    "a filter of rows that were mapped": [CONV, made("filter", 1, axis="1.h", k=3)],
    "a filter along channels of a depthwise map": [
        made("conv", to="C", k=[3, 3], depthwise=True),
        made("filter", 1, axis="0.c", k=3),
    ],
    "a filter across groups that were mapped apart": [
        made("group", by="G"),
        made("fc", 1, to="C"),
        made("filter", 2, axis="0.c", k=3),
    ],
    "relu of a filter": [made("filter", axis="0.c", k=3), made("relu", 1)],
    "relu of a linear map": [CONV, made("relu", 1)],
    "relu of a minimum with what may be negative": [
        CONV,
        made("relu", 1),
        made("sub", (1, 2)),
        made("min", (2, 3)),
        made("relu", 4),
    ],
    "relu of a difference": [CONV, made("relu", 1), made("sigmoid", 1), made("sub", (2, 3)), made("relu", 4)],
    "relu of a negated tensor": [CONV, made("neg", 1), made("relu", 2)],
    "mean over one of the axes of a softmax": [SOFT, made("fold", 1, axes=["1.h"], how="mean")],
    "mean over other axes than those of a softmax": [SOFT, made("fold", 1, axes=["0.c"], how="mean")],
    "mean of a function of a softmax": [SOFT, made("sqr", 1), made("fold", 2, axes=["1.h", "1.w"], how="mean")],
    "mean of a smooth function of what was normalised": [
        made("normalize", axes=["0.c"], how="standard"),
        made("gelu", 1),
        made("fold", 2, axes=["0.c"], how="mean"),
    ],
    "mean over a softmax behind a convolution along it": [
        made("softmax", axes=["1.h"]),
        made("conv", 1, to="C", k=[3, 1]),
        made("fold", 2, axes=["1.h"], how="mean"),
    ],
    "mean over a sum with a softmax over other axes": [
        SOFT,
        CONV,
        made("add", (1, 2)),
        made("fold", 3, axes=["0.c"], how="mean"),
    ],
    "mean over a convolution of a softmax": [
        SOFT,
        made("conv", 1, to="C", k=[3, 3]),
        made("fold", 2, axes=["1.h", "1.w"], how="mean"),
    ],
    "mean over mapped channels that were normalised": [
        made("normalize", axes=["0.c"], how="standard"),
        made("fc", 1, to="x0"),
        made("fold", 2, axes=["0.c"], how="mean"),
    ],
    "mean of an l2 normalisation": [made("normalize", axes=["0.c"], how="l2"), made("fold", 1, axes=["0.c"], how="mean")],
    "squeeze": [CONV, made("fold", 1, axes=["1.h", "1.w"], how="mean")],
    "gate": [CONV, made("sigmoid", 1), made("mul", (2, 0))],
    "residual": [CONV, made("add", (1, 0))],
    "x and its shuffle": [made("group", by="G"), made("transpose", 1), made("ungroup", 2), made("sub", (0, 3))],
    "maximum of rectifiers": [made("relu"), CONV, made("relu", 2), made("max", (1, 3))],
    "a quotient by sigmoids": [made("sigmoid"), CONV, made("neg", 1), made("div", (2, 3))],
    "a quotient by exponentials": [made("exp"), CONV, made("div", (2, 1))],
    "a quotient by the mean of squares": [
        made("sqr"),
        made("fold", 1, axes=["0.c"], how="mean"),
        made("div", (2, 0), swap=True),
    ],
    "a quotient by sums of products of rectifiers": [
        made("relu"),
        made("matmul", (1, 1), t=[False, True]),
        made("matmul", (2, 1)),
        made("div", (0, 3)),
    ],
    "a quotient by a sum with sigmoids": [
        made("sigmoid"),
        CONV,
        made("abs", 2),
        made("add", (1, 3)),
        made("div", (0, 4)),
    ],
    "a normalisation of an image": [CONV, made("normalize", 1, axes=["1.h", "1.w"], how="standard")],
    "a normalisation of channels in a row": [CONV, made("normalize", 1, axes=["0.c", "1.w"], how="standard")],
    "a normalisation of an inner width": [made("fc", to="x0"), made("normalize", 1, axes=["0.c"], how="l2")],
    "one number for each position": [made("fc", to="1")],
    "twice the same": [CONV, made("add", (0, 1)), made("add", (2, 1))],
    "the difference of a sum and another": [CONV, CONV, made("add", (0, 1)), made("sub", (3, 2))],
    "a bias on what is made of a softmax": [SOFT, CONV, made("mul", (1, 2)), made("bias", 3, axes=["0.c"])],
    "four factors": [CONV, made("sqr", 1), made("fc", to="C"), made("mul", (2, 3)), made("mul", (4, 0))],
}


@pytest.mark.parametrize("name", VOID)
def test_void(name: str) -> None:
    assert is_last_void(VOID[name])


@pytest.mark.parametrize("name", FINE)
def test_not_void(name: str) -> None:
    assert not is_last_void(FINE[name])


def test_a_tensor_that_is_not_there_is_no_matter_of_this() -> None:
    assert not is_void(made("relu", 3), [CONV], [input_shape(2), input_shape(2)])
