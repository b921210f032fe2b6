"""Known kernels that are whole blocks of convolutional networks."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(2016, "He et al., Deep residual learning (arXiv 1512.03385)", "the norms, the residual and the last ReLU")
def bottleneck() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "conv", "to": "x0", "k": [3, 3]},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
    )


@known(2017, "Xie et al., ResNeXt (arXiv 1611.05431)", "the norms, the residual and the last ReLU")
def resnext() -> Kernel:
    return program(
        {"op": "fc", "to": "G*x0"},
        {"op": "relu"},
        {"op": "group", "by": "G"},
        {"op": "conv", "to": "G*x0", "k": [3, 3]},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
    )


@known(2018, "Sandler et al., MobileNetV2 (arXiv 1801.04381)", "the norms; ReLU for ReLU6")
def inverted_residual() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "conv", "to": "x0", "k": [3, 3], "depthwise": True},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [0, 5]},
    )


@known(2021, "Tan and Le, EfficientNetV2 (arXiv 2104.00298): Fused-MBConv without SE", "the norms; ReLU for SiLU")
def fused_inverted_residual() -> Kernel:
    return program(
        {"op": "conv", "to": "x0", "k": [3, 3]}, {"op": "relu"}, {"op": "fc", "to": "C"}, {"op": "add", "ins": [0, 3]}
    )


@known(2020, "Zhou et al., MobileNeXt (arXiv 2007.02269): the sandglass block", "the norms; ReLU for ReLU6")
def sandglass() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "relu"},
        {"op": "fc", "to": "x0"},
        {"op": "fc", "to": "C"},
        {"op": "relu"},
        {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "add", "ins": [0, 6]},
    )


@known(2017, "Zhang et al., ShuffleNet (arXiv 1707.01083)", "the norms, the last ReLU")
def shufflenet_unit() -> Kernel:
    return program(
        {"op": "group", "by": "G"},
        {"op": "fc", "to": "G*x0"},
        {"op": "relu"},
        {"op": "group", "by": "G"},
        {"op": "transpose"},
        {"op": "ungroup"},
        {"op": "conv", "to": "G*x0", "k": [3, 3], "depthwise": True},
        {"op": "group", "by": "G"},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [0, 9]},
    )


@known(
    2020,
    "Han et al., GhostNet (arXiv 1911.11907)",
    "the norms; the cheap half by one depthwise convolution",
    "stack: the two halves are added, not concatenated",
)
def ghost() -> Kernel:
    return program(
        {"op": "fc", "to": "C"},
        {"op": "relu"},
        {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "add", "ins": [2, 3]},
    )


@known(2020, "Han et al., GhostNet (arXiv 1911.11907): a module of ratio 2, then a 1x1 convolution of both halves", "norms")
def ghost_projected() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "conv", "to": "x0", "k": [3, 3], "depthwise": True},
        {"op": "relu"},
        {"op": "fc", "ins": [2], "to": "C"},
        {"op": "fc", "ins": [4], "to": "C"},
        {"op": "add", "ins": [5, 6]},
    )


@known(2022, "Liu et al., A ConvNet for the 2020s (arXiv 2201.03545)", "affine of the norm, biases, layer scale")
def convnext() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [7, 7], "depthwise": True},
        {"op": "normalize", "axes": ["0.c"], "how": "standard"},
        {"op": "fc", "to": "x0"},
        {"op": "gelu"},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [0, 5]},
    )


@known(2022, "Ding et al., RepLKNet (arXiv 2203.06717), 13x13 beside 5x5, as in its last stage", "the norms")
def replknet() -> Kernel:
    return program(
        {"op": "fc", "to": "C"},
        {"op": "relu"},
        {"op": "conv", "to": "C", "k": [13, 13], "depthwise": True},
        {"op": "conv", "ins": [2], "to": "C", "k": [5, 5], "depthwise": True},
        {"op": "add", "ins": [3, 4]},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [0, 7]},
    )
