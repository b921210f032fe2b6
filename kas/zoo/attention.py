"""Known kernels that weigh channels or positions by what they see."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(2018, "Hu et al., Squeeze-and-excitation (arXiv 1709.01507), after a depthwise convolution", "biases")
def squeeze_excitation() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "fc", "to": "C/4"},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [6, 1]},
        {"op": "fc", "to": "C"},
    )


@known(2021, "Li et al., Involution (arXiv 2103.06255), one group", "the norm")
def involution() -> Kernel:
    return program(
        {"op": "fc", "to": "C/4"},
        {"op": "relu"},
        {"op": "fc", "to": "9"},
        {"op": "unfold", "ins": [0], "over": "hw", "k": 3},
        {"op": "mul", "ins": [3, 4]},
        {"op": "fold", "axes": ["0.kh", "0.kw"], "how": "mean"},
    )


@known(2018, "Wang et al., Non-local neural networks (arXiv 1711.07971)", "the norm")
def nonlocal_attention() -> Kernel:
    return program(
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "matmul", "ins": [1, 2], "t": [True, False], "softmax": True},
        {"op": "matmul", "ins": [3, 4], "t": [False, True]},
        {"op": "fc", "ins": [5], "to": "C"},
        {"op": "add", "ins": [0, 6]},
    )


@known(2017, "Dauphin et al., Gated convolutional networks (arXiv 1612.08083)", "biases")
def gated_convolution() -> Kernel:
    return program(
        {"op": "conv", "ins": [0], "to": "x0", "k": [3, 3]},
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "sigmoid", "ins": [2]},
        {"op": "mul", "ins": [3, 1]},
        {"op": "fc", "ins": [4], "to": "C"},
    )
