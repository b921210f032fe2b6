"""Known kernels that are convolutions, and their factorisations."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(1989, "LeCun et al., Backpropagation applied to handwritten zip code recognition", "the bias")
def conv3x3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3]})


@known(2013, "Lin et al., Network in network (arXiv 1312.4400)", "the bias")
def conv1x1() -> Kernel:
    return program({"op": "fc", "to": "C"})


@known(2012, "Krizhevsky et al., ImageNet classification with deep convolutional neural networks", "the bias")
def grouped3x3() -> Kernel:
    return program({"op": "group", "by": "G"}, {"op": "conv", "to": "C", "k": [3, 3]})


@known(2014, "Sifre, Rigid-motion scattering for image classification (thesis)", "the bias")
def depthwise3x3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "depthwise": True})


@known(2017, "Howard et al., MobileNets (arXiv 1704.04861), with the ReLU between", "the two norms, the last ReLU")
def depthwise_separable() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
    )


@known(2017, "Chollet, Xception (arXiv 1610.02357): no non-linearity between", "the norm")
def xception_separable() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "depthwise": True}, {"op": "fc", "to": "C"})


@known(2020, "Haase and Amthor, Blueprint separable convolutions (arXiv 2003.13549), BSConv-U", "the norms")
def blueprint_separable() -> Kernel:
    return program({"op": "fc", "to": "C"}, {"op": "conv", "to": "C", "k": [3, 3], "depthwise": True})


@known(2016, "Yu and Koltun, Multi-scale context aggregation by dilated convolutions (arXiv 1511.07122)", "the bias")
def dilated3x3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "d": [2, 2]})


@known(2014, "Jaderberg et al., Speeding up convolutional neural networks with low rank expansions (arXiv 1405.3866)", "biases")
def low_rank3x3() -> Kernel:
    return program({"op": "conv", "to": "x0", "k": [3, 1]}, {"op": "conv", "to": "C", "k": [1, 3]})


@known(2016, "Szegedy et al., Rethinking the Inception architecture (arXiv 1512.00567)", "the norms, the last ReLU")
def inception_1x7_7x1() -> Kernel:
    return program({"op": "conv", "to": "x0", "k": [1, 7]}, {"op": "relu"}, {"op": "conv", "to": "C", "k": [7, 1]})


@known(
    2015,
    "Szegedy et al., Going deeper with convolutions (arXiv 1409.4842): the pooled branch",
    "the bias, the last ReLU",
    "`pool` that leaves the padding out: here it takes part as zeros, which is no difference after a ReLU",
)
def inception_pool() -> Kernel:
    return program(
        {"op": "unfold", "over": "hw", "k": 3},
        {"op": "fold", "axes": ["0.kh", "0.kw"], "how": "max"},
        {"op": "fc", "to": "C"},
    )


@known(2017, "Zhang et al., ShuffleNet (arXiv 1707.01083): a grouped 1x1 convolution and the shuffle of its result", "the norm")
def grouped1x1_shuffle() -> Kernel:
    return program({"op": "group", "by": "G"}, {"op": "fc", "to": "C"}, {"op": "group", "by": "G"}, {"op": "transpose"})


@known(2013, "Goodfellow et al., Maxout networks (arXiv 1302.4389), two pieces", "biases")
def maxout() -> Kernel:
    return program({"op": "fc", "ins": [0], "to": "C"}, {"op": "fc", "ins": [0], "to": "C"}, {"op": "max", "ins": [1, 2]})


@known(2021, "Ding et al., RepVGG (arXiv 2101.03697): the training form", "the norms of the branches, the last ReLU")
def repvgg() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3]},
        {"op": "fc", "ins": [0], "to": "C"},
        {"op": "add", "ins": [1, 2]},
        {"op": "add", "ins": [0, 3]},
    )


@known(
    2018,
    "after Wu et al., Shift (arXiv 1711.08141): a shifted branch beside a depthwise convolution",
    "one shift for all channels of the branch; `shiftnet` is the original",
)
def shift1x1() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "shift", "axes": ["1.h", "1.w"], "by": 1},
        {"op": "fc", "to": "C"},
        {"op": "conv", "ins": [0], "to": "C", "k": [3, 3], "depthwise": True},
        {"op": "add", "ins": [4, 5]},
    )
