"""Known kernels that weigh channels or positions by what they see there."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(2018, "Hu et al., Squeeze-and-excitation (arXiv 1709.01507), after a depthwise convolution, ratio 4", "biases, norms")
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


@known(2018, "Hu et al., Squeeze-and-excitation (arXiv 1709.01507), by itself", "biases")
def squeeze_excitation_gate() -> Kernel:
    return program(
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "fc", "to": "C"},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [5, 0]},
    )


@known(
    2019,
    "Wang et al., ECA-Net (arXiv 1910.03151): 3 taps along the channels",
    "the number of taps as a function of C, (log2(C) + 1)/2 made odd; 3 is its value for 8 to 127 channels",
)
def eca() -> Kernel:
    return program(
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "filter", "axis": "0.c", "k": 3},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [3, 0]},
    )


@known(2018, "Roy et al., Concurrent spatial and channel squeeze and excitation (arXiv 1803.02579): the spatial one", "bias")
def spatial_excitation() -> Kernel:
    return program({"op": "fc", "to": "1"}, {"op": "sigmoid"}, {"op": "mul", "ins": [2, 0]})


@known(2020, "Zhao et al., PAN (arXiv 2010.01073): pixel attention", "the bias")
def pixel_attention() -> Kernel:
    return program({"op": "fc", "to": "C"}, {"op": "sigmoid"}, {"op": "mul", "ins": [2, 0]})


@known(2022, "Chen et al., NAFNet (arXiv 2204.04676): simplified channel attention", "the bias")
def simplified_channel_attention() -> Kernel:
    return program({"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"}, {"op": "fc", "to": "C"}, {"op": "mul", "ins": [2, 0]})


@known(2018, "Hu et al., Gather-excite (arXiv 1810.12348): over the whole image, without weights")
def gather_excite() -> Kernel:
    return program({"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"}, {"op": "sigmoid"}, {"op": "mul", "ins": [2, 0]})


@known(2018, "Woo et al., CBAM (arXiv 1807.06521): spatial attention, 7x7", "the norm")
def cbam_spatial() -> Kernel:
    """The convolution of two channels is the sum of one of each."""
    return program(
        {"op": "fold", "ins": [0], "axes": ["0.c"], "how": "mean"},
        {"op": "conv", "to": "1", "k": [7, 7]},
        {"op": "fold", "ins": [0], "axes": ["0.c"], "how": "max"},
        {"op": "conv", "to": "1", "k": [7, 7]},
        {"op": "add", "ins": [2, 4]},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [6, 0]},
    )


@known(2019, "Lee et al., SRM (arXiv 1903.10829): style-based recalibration", "the norm of the style")
def style_recalibration() -> Kernel:
    return program(
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "sub", "ins": [1, 0]},
        {"op": "sqr"},
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "sqrt"},
        {"op": "scale", "ins": [1], "axes": ["0.c"]},
        {"op": "scale", "ins": [5], "axes": ["0.c"]},
        {"op": "add", "ins": [6, 7]},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [9, 0]},
    )


@known(2019, "Li et al., Selective kernel networks (arXiv 1903.06586): grouped 3x3, and the same dilated by 2", "the norms")
def selective_kernels() -> Kernel:
    """The softmax over two branches is a sigmoid of the difference of their scores."""
    return program(
        {"op": "group", "by": "G"},
        {"op": "conv", "to": "C", "k": [3, 3]},
        {"op": "relu"},
        {"op": "conv", "ins": [1], "to": "C", "k": [3, 3], "d": [2, 2]},
        {"op": "relu"},
        {"op": "add", "ins": [3, 5]},
        {"op": "fold", "axes": ["1.h", "1.w"], "how": "mean"},
        {"op": "fc", "to": "x0"},
        {"op": "relu"},
        {"op": "fc", "ins": [9], "to": "C"},
        {"op": "fc", "ins": [9], "to": "C"},
        {"op": "sub", "ins": [10, 11]},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [13, 3]},
        {"op": "neg", "ins": [12]},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [16, 5]},
        {"op": "add", "ins": [14, 17]},
    )


@known(
    2021,
    "Yang et al., SimAM (ICML 2021)",
    "",
    "constants: the energy is here the squared normalised input, without 1/4 and 1/2, lambda is 1e-6, the variance over H*W",
)
def simam() -> Kernel:
    return program(
        {"op": "normalize", "axes": ["1.h", "1.w"], "how": "standard"},
        {"op": "sqr"},
        {"op": "sigmoid"},
        {"op": "mul", "ins": [3, 0]},
    )


_INVOLUTION = "Li et al., Involution (arXiv 2103.06255), 3x3, "


@known(2021, _INVOLUTION + "one group", "the norm, biases; a mean over the window for the sum")
def involution() -> Kernel:
    return program(
        {"op": "fc", "to": "C/4"},
        {"op": "relu"},
        {"op": "fc", "to": "9"},
        {"op": "unfold", "ins": [0], "over": "hw", "k": 3},
        {"op": "mul", "ins": [3, 4]},
        {"op": "fold", "axes": ["0.kh", "0.kw"], "how": "mean"},
    )


@known(2021, _INVOLUTION + "G groups", "the norm, biases; a mean over the window for the sum")
def grouped_involution() -> Kernel:
    """With the groups innermost, the `9*G` weights line up with `[G, 3, 3]` and repeat over the channels of a group."""
    return program(
        {"op": "fc", "to": "C/4"},
        {"op": "relu"},
        {"op": "fc", "to": "9*G"},
        {"op": "group", "ins": [0], "by": "G"},
        {"op": "transpose"},
        {"op": "unfold", "over": "hw", "k": 3},
        {"op": "mul", "ins": [3, 6]},
        {"op": "fold", "axes": ["0.kh", "0.kw"], "how": "mean"},
        {"op": "transpose"},
    )


@known(2022, "Guo et al., Visual attention network (arXiv 2202.09741): large-kernel attention", "biases")
def large_kernel_attention() -> Kernel:
    return program(
        {"op": "conv", "to": "C", "k": [5, 5], "depthwise": True},
        {"op": "conv", "to": "C", "k": [7, 7], "d": [3, 3], "depthwise": True},
        {"op": "fc", "to": "C"},
        {"op": "mul", "ins": [0, 3]},
    )
