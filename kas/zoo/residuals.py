"""Known kernels that start from their input as it is: added to it, compared with it, or behind its ReLU."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(2015, "He et al., Deep residual learning (arXiv 1512.03385): the basic block", "the norms, the last ReLU")
def basic_block() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [3, 3]},
        {"op": "relu"},
        {"op": "conv", "to": "C", "k": [3, 3]},
        {"op": "add", "ins": [0, 3]},
    )


@known(2016, "He et al., Identity mappings in deep residual networks (arXiv 1603.05027): a ReLU before the weights", "the norm")
def preactivated3x3() -> Kernel:
    return program({"op": "relu"}, {"op": "conv", "to": "C", "k": [3, 3]})


@known(2017, "Zagoruyko and Komodakis, DiracNets (arXiv 1706.00388): the input beside a 3x3", "the scales, normed weights")
def dirac3x3() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3]}, {"op": "add", "ins": [0, 1]})


@known(2021, "Chu et al., Conditional positional encodings (arXiv 2102.10882): the PEG", "the bias")
def conditional_position() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "depthwise": True}, {"op": "add", "ins": [0, 1]})


@known(2020, "Ma et al., Funnel activation (arXiv 2007.11824): FReLU", "the norm")
def frelu() -> Kernel:
    return program({"op": "conv", "to": "C", "k": [3, 3], "depthwise": True}, {"op": "max", "ins": [0, 1]})


@known(
    2017,
    "Zaheer et al., Deep sets (arXiv 1703.06114): the equivariant layer, with the mean; ParseNet's context (arXiv 1506.04579)",
    "the bias",
)
def deep_sets() -> Kernel:
    return program(
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "fc", "to": "C"},
        {"op": "fc", "ins": [0], "to": "C"},
        {"op": "add", "ins": [2, 3]},
    )
