"""Known kernels that do the work of one large convolution by several smaller ones."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(
    2014,
    "Simonyan and Zisserman, Very deep convolutional networks (arXiv 1409.1556): two 3x3 for a 5x5",
    "biases, the last ReLU",
)
def stacked3x3() -> Kernel:
    return program({"op": "conv", "to": "x0", "k": [3, 3]}, {"op": "relu"}, {"op": "conv", "to": "C", "k": [3, 3]})


@known(2013, "Lin et al., Network in network (arXiv 1312.4400): an mlpconv layer, 5x5", "biases, the last ReLU")
def mlpconv() -> Kernel:
    return program(
        {"op": "conv", "to": "x0", "k": [5, 5]},
        {"op": "relu"},
        {"op": "fc", "to": "x1"},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
    )


@known(
    2015, "Zhang et al., Accelerating very deep convolutional networks (arXiv 1505.06798): fewer filters, recombined", "biases"
)
def filter_decomposition() -> Kernel:
    return program({"op": "conv", "to": "x0", "k": [3, 3]}, {"op": "fc", "to": "C"})


@known(2015, "Kim et al., Compression of deep convolutional neural networks (arXiv 1511.06530): Tucker-2", "biases")
def tucker_decomposition() -> Kernel:
    return program({"op": "fc", "to": "x0"}, {"op": "conv", "to": "x1", "k": [3, 3]}, {"op": "fc", "to": "C"})


@known(2014, "Lebedev et al., Speeding-up convolutional neural networks (arXiv 1412.6553): CP decomposition", "biases")
def cp_decomposition() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "conv", "to": "x0", "k": [3, 1], "depthwise": True},
        {"op": "conv", "to": "x0", "k": [1, 3], "depthwise": True},
        {"op": "fc", "to": "C"},
    )


@known(2016, "Ioannou et al., Deep roots (arXiv 1605.06489): filter groups, then a 1x1 convolution", "biases")
def deep_roots() -> Kernel:
    return program({"op": "group", "by": "G"}, {"op": "conv", "to": "G*x0", "k": [3, 3]}, {"op": "fc", "to": "C"})


@known(2018, "Chen et al., DeepLabv3+ (arXiv 1802.02611): atrous separable convolution, rate 2", "the norms and ReLUs")
def atrous_separable() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "d": [2, 2], "depthwise": True}, {"op": "fc", "to": "C"})


@known(2017, "Zoph et al., NASNet (arXiv 1707.07012): its separable 5x5, once", "the norm; the second time")
def nasnet_separable5x5() -> Kernel:
    return program({"op": "relu"}, {"op": "conv", "to": "C", "k": [5, 5], "depthwise": True}, {"op": "fc", "to": "C"})


@known(2018, "Liu et al., DARTS (arXiv 1806.09055): its dilated separable 5x5", "the norm")
def darts_dilated5x5() -> Kernel:
    return program(
        {"op": "relu"}, {"op": "conv", "to": "C", "k": [5, 5], "d": [2, 2], "depthwise": True}, {"op": "fc", "to": "C"}
    )


@known(2017, "Romera et al., ERFNet (IEEE T-ITS 19): half of the non-bottleneck-1D block", "biases, the norm, the last ReLU")
def erfnet_factorised() -> Kernel:
    return program({"op": "conv", "to": "x0", "k": [3, 1]}, {"op": "relu"}, {"op": "conv", "to": "C", "k": [1, 3]})


@known(2019, "Ding et al., ACNet (arXiv 1908.03930): a 3x3 strengthened by its skeleton, the training form", "the norms")
def acnet() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3]},
        {"op": "conv", "ins": [0], "to": "C", "k": [3, 1]},
        {"op": "conv", "ins": [0], "to": "C", "k": [1, 3]},
        {"op": "add", "ins": [1, 2]},
        {"op": "add", "ins": [4, 3]},
    )


@known(2017, "Peng et al., Large kernel matters (arXiv 1703.02719): the global convolutional network, k = 7", "biases")
def global_convolution() -> Kernel:
    return program(
        {"op": "conv", "ins": [0], "to": "x0", "k": [7, 1]},
        {"op": "conv", "to": "C", "k": [1, 7]},
        {"op": "conv", "ins": [0], "to": "x0", "k": [1, 7]},
        {"op": "conv", "to": "C", "k": [7, 1]},
        {"op": "add", "ins": [2, 4]},
    )
