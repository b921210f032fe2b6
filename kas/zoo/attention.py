"""Known kernels in which every position, or every channel, looks at all others.

The language's matrix product is divided by the square root of what it contracts. Where the original is not, that is a
constant factor at any one size, which a weight before or after it absorbs.
"""

from __future__ import annotations

from typing import Any

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


def _fc(source: int, to: str = "x0") -> dict[str, Any]:
    return {"op": "fc", "ins": [source], "to": to}


def _weights(query: int, key: int) -> dict[str, Any]:
    """Positions by positions: how much each query takes of each key."""
    return {"op": "matmul", "ins": [query, key], "t": [True, False], "softmax": True}


def _average(value: int, weights: int) -> dict[str, Any]:
    """The values, averaged by the weights."""
    return {"op": "matmul", "ins": [value, weights], "t": [False, True]}


@known(2018, "Wang et al., Non-local neural networks (arXiv 1711.07971), embedded Gaussian", "the norm, biases")
def nonlocal_attention() -> Kernel:
    return program(_fc(0), _fc(0), _fc(0), _weights(1, 2), _average(3, 4), _fc(5, "C"), {"op": "add", "ins": [0, 6]})


@known(2017, "Vaswani et al., Attention is all you need (arXiv 1706.03762), one head, over positions", "the norm, biases")
def self_attention() -> Kernel:
    return program(_fc(0), _fc(0), _fc(0), _weights(1, 2), _average(3, 4), _fc(5, "C"))


@known(2017, "Vaswani et al., Attention is all you need (arXiv 1706.03762), two heads, over positions", "the norm, biases")
def two_head_attention() -> Kernel:
    return program(
        *(_fc(0), _fc(0), _fc(0), _weights(1, 2), _average(3, 4), _fc(5, "C")),
        *(_fc(0), _fc(0), _fc(0), _weights(7, 8), _average(9, 10), _fc(11, "C")),
        {"op": "add", "ins": [6, 12]},
    )


@known(
    2022,
    "Liu et al., Swin transformer V2 (arXiv 2111.09883): scaled cosine attention, one head, over all positions",
    "the norm, biases, the position bias",
    "a single learned number: the temperature is one for each channel of the queries; `swin_v2_attention` has it by head",
)
def cosine_attention() -> Kernel:
    return program(
        _fc(0),
        {"op": "normalize", "axes": ["0.c"], "how": "l2"},
        {"op": "scale", "axes": ["0.c"]},
        _fc(0),
        {"op": "normalize", "axes": ["0.c"], "how": "l2"},
        _fc(0),
        _weights(3, 5),
        _average(6, 7),
        _fc(8, "C"),
    )


@known(2021, "Shen et al., Efficient attention (arXiv 1812.01243): linear in the number of positions", "biases")
def linear_attention() -> Kernel:
    return program(
        _fc(0),
        {"op": "softmax", "axes": ["0.c"]},
        _fc(0),
        {"op": "softmax", "axes": ["1.h", "1.w"]},
        _fc(0, "x1"),
        {"op": "matmul", "ins": [5, 4], "t": [False, True]},
        {"op": "matmul", "ins": [6, 2]},
        _fc(7, "C"),
        {"op": "add", "ins": [0, 8]},
    )


@known(2023, "Cai et al., EfficientViT (arXiv 2205.14756): ReLU linear attention, one head, one scale", "the norm")
def relu_linear_attention() -> Kernel:
    return program(
        _fc(0),
        {"op": "relu"},
        _fc(0),
        {"op": "relu"},
        _fc(0),
        {"op": "matmul", "ins": [5, 4], "t": [False, True]},
        {"op": "matmul", "ins": [6, 2]},
        {"op": "fold", "ins": [4], "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "matmul", "ins": [8, 2], "t": [True, False]},
        {"op": "div", "ins": [9, 7], "swap": True},
        _fc(10, "C"),
        {"op": "add", "ins": [0, 11]},
    )


@known(
    2019,
    "Fu et al., Dual attention network (arXiv 1809.02983): channel attention",
    "",
    "a single learned number: beta is one for each channel; "
    "a product that is not divided: the energies are over the square root of H*W",
)
def channel_attention() -> Kernel:
    return program(
        {"op": "matmul", "ins": [0, 0], "t": [False, True], "softmax": True},
        {"op": "matmul", "ins": [1, 0]},
        {"op": "scale", "axes": ["0.c"]},
        {"op": "add", "ins": [3, 0]},
    )


@known(2019, "Cao et al., GCNet (arXiv 1904.11492): the global context block", "affine of the norm, biases")
def global_context() -> Kernel:
    return program(
        _fc(0, "1"),
        {"op": "softmax", "axes": ["1.h", "1.w"]},
        {"op": "matmul", "ins": [0, 2], "t": [False, True]},
        _fc(3),
        {"op": "normalize", "axes": ["0.c"], "how": "standard"},
        {"op": "relu"},
        _fc(6, "C"),
        {"op": "add", "ins": [7, 0]},
    )
