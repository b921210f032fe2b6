"""Known kernels for sequences (rank 1) and vectors (rank 0)."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(1989, "Waibel et al., Phoneme recognition using time-delay neural networks")
def conv1d3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 1]}, rank=1)


@known(2017, "Kaiser et al., Depthwise separable convolutions for neural machine translation (arXiv 1706.03059)", "the norms")
def depthwise_separable1d() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 1], "depthwise": True}, {"op": "relu"}, {"op": "fc", "to": "C"}, rank=1)


@known(2012, "grouped convolution, on a sequence")
def grouped1d3() -> Kernel:
    return program({"op": "group", "by": "G"}, {"op": "conv", "to": "C", "k": [3, 1]}, rank=1)


@known(2016, "the bottleneck of He et al. (arXiv 1512.03385), on a sequence", "the norms and the residual")
def bottleneck1d() -> Kernel:
    return program(
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "conv", "to": "x0", "k": [3, 1]},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
        rank=1,
    )


@known(1958, "a linear layer", "the bias")
def linear() -> Kernel:
    return program({"op": "fc", "to": "C"}, rank=0)


@known(2014, "Denil et al., Predicting parameters in deep learning (arXiv 1306.0543): a low-rank linear layer", "the bias")
def low_rank_linear() -> Kernel:
    return program({"op": "fc", "to": "x0"}, {"op": "fc", "to": "C"}, rank=0)


@known(2017, "a grouped linear layer with a channel shuffle, after Zhang et al. (arXiv 1707.01083)")
def grouped_linear() -> Kernel:
    return program(
        {"op": "group", "by": "G"},
        {"op": "fc", "to": "G*x0"},
        {"op": "relu"},
        {"op": "group", "by": "G"},
        {"op": "transpose"},
        {"op": "ungroup"},
        {"op": "group", "by": "G"},
        {"op": "fc", "to": "C"},
        rank=0,
    )
