"""Known kernels that multiply one map of the input with another."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(2017, "Dauphin et al., Language modeling with gated convolutional networks (arXiv 1612.08083): the GLU", "biases")
def glu() -> Kernel:
    return program(
        {"op": "fc", "ins": [0], "to": "C"},
        {"op": "fc", "ins": [0], "to": "C"},
        {"op": "sigmoid", "ins": [2]},
        {"op": "mul", "ins": [1, 3]},
    )


@known(2020, "Shazeer, GLU variants improve transformer (arXiv 2002.05202): GEGLU, the whole feed-forward layer")
def geglu() -> Kernel:
    return program(
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "gelu"},
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "mul", "ins": [2, 3]},
        {"op": "fc", "to": "C"},
    )


@known(2020, "Shazeer, GLU variants improve transformer (arXiv 2002.05202): the bilinear one, the whole feed-forward layer")
def bilinear() -> Kernel:
    return program(
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "mul", "ins": [1, 2]},
        {"op": "fc", "to": "C"},
    )


@known(2019, "Yu et al., Free-form image inpainting with gated convolution (arXiv 1806.03589), 3x3", "biases, the activation")
def gated_convolution() -> Kernel:
    return program(
        {"op": "conv", "ins": [0], "to": "C", "k": [3, 3]},
        {"op": "conv", "ins": [0], "to": "C", "k": [3, 3]},
        {"op": "sigmoid", "ins": [2]},
        {"op": "mul", "ins": [1, 3]},
    )


@known(2022, "Rao et al., HorNet (arXiv 2207.14284): the recursive gated convolution of order 3, 7x7", "biases, fixed scale")
def hornet() -> Kernel:
    return program(
        {"op": "fc", "ins": [0], "to": "C/4"},
        {"op": "fc", "ins": [0], "to": "C/4"},
        {"op": "conv", "to": "C/4", "k": [7, 7], "depthwise": True},
        {"op": "mul", "ins": [1, 3]},
        {"op": "fc", "to": "C/2"},
        {"op": "fc", "ins": [0], "to": "C/2"},
        {"op": "conv", "to": "C/2", "k": [7, 7], "depthwise": True},
        {"op": "mul", "ins": [5, 7]},
        {"op": "fc", "to": "C"},
        {"op": "fc", "ins": [0], "to": "C"},
        {"op": "conv", "to": "C", "k": [7, 7], "depthwise": True},
        {"op": "mul", "ins": [9, 11]},
        {"op": "fc", "to": "C"},
    )
