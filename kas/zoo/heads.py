"""Known kernels that attend with several heads, or along rows and columns.

A product of the language is divided by the square root of what it contracts. Where the original is not, that is a constant
factor at any one size, which a weight before or after it absorbs.
"""

from __future__ import annotations

from typing import Any

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []

_BIASES = "the norm, biases"


def maps(to: str, *, heads: bool = True) -> list[dict[str, Any]]:
    """Queries, keys and values of the input as tensors 1 to 3; with heads also by head, as tensors 4 to 6."""
    steps: list[dict[str, Any]] = [{"op": "fc", "ins": [0], "to": to} for _ in range(3)]
    return steps + ([{"op": "group", "ins": [i], "by": "G"} for i in (1, 2, 3)] if heads else [])


def scores(query: int, key: int, *batch: str) -> dict[str, Any]:
    """Positions by positions, for each index of the batch: how much each query takes of each key."""
    return {"op": "bmm", "ins": [query, key], "batch": list(batch), "t": [True, False], "softmax": True}


def average(value: int, weights: int, *batch: str) -> dict[str, Any]:
    """The values, averaged by the weights."""
    return {"op": "bmm", "ins": [value, weights], "batch": list(batch), "t": [False, True]}


@known(2017, "Vaswani et al., Attention is all you need (arXiv 1706.03762), G heads, over positions", _BIASES)
def multi_head_attention() -> Kernel:
    return program(
        *maps("G*x0"),
        scores(4, 5, "g"),
        average(6, 7, "g"),
        {"op": "ungroup"},
        {"op": "fc", "to": "C"},
    )


@known(2021, "El-Nouby et al., XCiT (arXiv 2106.09681): cross-covariance attention of the channels, G heads", _BIASES)
def xcit_attention() -> Kernel:
    unit: dict[str, Any] = {"op": "normalize", "axes": ["1.h", "1.w"], "how": "l2"}
    return program(
        *maps("C"),
        {**unit, "ins": [4]},
        {"op": "scale", "axes": ["0.g"]},
        {**unit, "ins": [5]},
        {"op": "bmm", "ins": [8, 9], "batch": ["g"], "t": [False, True], "softmax": True},
        {"op": "bmm", "ins": [10, 6], "batch": ["g"]},
        {"op": "ungroup"},
        {"op": "fc", "to": "C"},
    )


@known(2019, "Ho et al., Axial attention (arXiv 1912.12180): along each row, then along each column, one head", _BIASES)
def axial_attention() -> Kernel:
    return program(
        *(*maps("x0", heads=False), scores(1, 2, "h"), average(3, 4, "h"), {"op": "fc", "to": "C"}),
        *({"op": "fc", "ins": [6], "to": "x1"} for _ in range(3)),
        *(scores(7, 8, "w"), average(9, 10, "w"), {"op": "fc", "to": "C"}),
    )


@known(
    2019,
    "after Huang et al., CCNet (arXiv 1811.11721): criss-cross attention to the row and the column of each position",
    "biases, gamma",
    "a softmax over two tensors jointly: here row and column have one each, and a position sees itself in both",
)
def criss_cross_attention() -> Kernel:
    return program(
        *({"op": "fc", "ins": [0], "to": to} for to in ("x0", "x0", "C")),
        *(scores(1, 2, "h"), average(3, 4, "h")),
        *(scores(1, 2, "w"), average(3, 6, "w")),
        {"op": "add", "ins": [5, 7]},
        {"op": "add", "ins": [0, 8]},
    )
