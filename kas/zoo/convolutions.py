"""Known kernels made of convolutions."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(1989, "LeCun et al., Backpropagation applied to handwritten zip code recognition")
def conv3x3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3]})


@known(2013, "Lin et al., Network in network")
def conv1x1() -> Kernel:
    return program({"op": "fc", "to": "C"})


@known(2012, "Krizhevsky et al., ImageNet classification with deep convolutional neural networks")
def grouped3x3() -> Kernel:
    return program({"op": "group", "by": "G"}, {"op": "conv", "to": "C", "k": [3, 3]})


@known(2014, "Sifre, Rigid-motion scattering for image classification")
def depthwise3x3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "depthwise": True})


@known(2017, "Howard et al., MobileNets (arXiv 1704.04861)", "the two norms")
def depthwise_separable() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
    )


@known(2016, "Yu and Koltun, Multi-scale context aggregation by dilated convolutions (arXiv 1511.07122)")
def dilated3x3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "d": [2, 2]})


@known(2016, "Szegedy et al., Rethinking the Inception architecture (arXiv 1512.00567)", "the norms")
def inception_1x7_7x1() -> Kernel:
    return program({"op": "conv", "to": "x0", "k": [1, 7]}, {"op": "relu"}, {"op": "conv", "to": "C", "k": [7, 1]})


@known(2016, "He et al., Deep residual learning (arXiv 1512.03385)", "the norms and the residual")
def bottleneck() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "conv", "to": "x0", "k": [3, 3]},
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


@known(2017, "Zhang et al., ShuffleNet (arXiv 1707.01083)", "the norms")
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


@known(2020, "Han et al., GhostNet (arXiv 1911.11907)", "the norms; the cheap half by one depthwise convolution")
def ghost() -> Kernel:
    return program(
        {"op": "fc", "to": "C"},
        {"op": "relu"},
        {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "add", "ins": [2, 3]},
    )


@known(2021, "Ding et al., RepVGG (arXiv 2101.03697)", "the norms of the branches")
def repvgg() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3]},
        {"op": "fc", "ins": [0], "to": "C"},
        {"op": "add", "ins": [1, 2]},
        {"op": "add", "ins": [0, 3]},
    )


@known(2022, "Liu et al., A ConvNet for the 2020s (arXiv 2201.03545)", "affine of the norm, layer scale")
def convnext() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [7, 7], "depthwise": True},
        {"op": "normalize", "axes": ["0.c"], "how": "standard"},
        {"op": "fc", "to": "x0"},
        {"op": "gelu"},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [0, 5]},
    )


@known(2022, "Guo et al., Visual attention network (arXiv 2202.09741)", "biases")
def large_kernel_attention() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [5, 5], "depthwise": True},
        {"op": "conv", "to": "C", "k": [7, 7], "d": [3, 3], "depthwise": True},
        {"op": "fc", "to": "C"},
        {"op": "mul", "ins": [0, 3]},
    )


@known(2022, "Yu et al., MetaFormer is actually what you need (arXiv 2111.11418)", "the norm and the layer scale")
def poolformer() -> Kernel:
    return program(
        {"op": "unfold", "over": "hw", "k": 3},
        {"op": "fold", "axes": ["0.kh", "0.kw"], "how": "mean"},
        {"op": "sub", "ins": [2, 0]},
        {"op": "fc", "to": "C"},
    )


@known(2018, "Wu et al., Shift (arXiv 1711.08141)", "one shift for all channels of a branch instead of one per group")
def shift1x1() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "shift", "axes": ["1.h", "1.w"], "by": 1},
        {"op": "fc", "to": "C"},
        {"op": "conv", "ins": [0], "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "add", "ins": [4, 5]},
    )
