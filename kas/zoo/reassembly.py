"""Known kernels that recombine the neighbours of each position by a matrix made from what is there."""

from __future__ import annotations

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []


@known(
    2021,
    "Yuan et al., VOLO (arXiv 2106.13112): outlook attention, 3x3, stride 1, G heads",
    "the norm, biases; the scale of the scores, a constant that their weights absorb",
)
def outlook_attention() -> Kernel:
    return program(
        {"op": "fc", "to": "C"},
        {"op": "unfold", "over": "hw", "k": 3},
        {"op": "group", "by": "G"},
        {"op": "fc", "ins": [0], "to": "81*G"},
        {"op": "group", "by": "G"},
        {"op": "subpixel", "over": "hw", "k": 3},
        {"op": "softmax", "axes": ["0.c"]},
        {"op": "reassemble", "ins": [3, 7]},
        {"op": "col2im", "over": "hw"},
        {"op": "ungroup"},
        {"op": "fc", "to": "C"},
    )


@known(
    2019,
    "Wang et al., CARAFE (arXiv 1905.02188): twice the resolution, 3x3 for the filters of 5x5",
    "biases; a mean over 2x2 comes before, so that the size stays",
)
def carafe() -> Kernel:
    return program(
        {"op": "pool", "over": "hw", "k": 2, "how": "mean"},
        {"op": "fc", "to": "x0"},
        {"op": "conv", "to": "100", "k": [3, 3]},
        {"op": "subpixel", "over": "hw", "k": 2},
        {"op": "softmax", "axes": ["0.c"]},
        {"op": "unfold", "ins": [1], "over": "hw", "k": 5},
        {"op": "reassemble", "ins": [6, 5]},
        {"op": "unwindow", "over": "hw"},
    )


@known(
    2021,
    "Li et al., Involution (arXiv 2103.06255), 3x3, G groups, as a product: the sum over the window itself",
    "the norm, biases",
)
def involution_product() -> Kernel:
    return program(
        {"op": "fc", "to": "C/4"},
        {"op": "relu"},
        {"op": "fc", "to": "9*G"},
        {"op": "group", "by": "G"},
        {"op": "unfold", "ins": [0], "over": "hw", "k": 3},
        {"op": "group", "by": "G"},
        {"op": "reassemble", "ins": [6, 4]},
    )


@known(2016, "De Brabandere et al., Dynamic filter networks (arXiv 1605.09673): local 3x3, with the softmax", "biases")
def dynamic_filter() -> Kernel:
    """One filter for all channels of a position, made by one linear map."""
    return program(
        {"op": "fc", "to": "9"},
        {"op": "softmax", "axes": ["0.c"]},
        {"op": "unfold", "ins": [0], "over": "hw", "k": 3},
        {"op": "reassemble", "ins": [3, 2]},
    )


@known(
    2019,
    "Wu et al., Pay less attention (arXiv 1901.10430): dynamic convolution of G heads, over images instead of sequences",
    "the GLU before and the map behind it, biases",
)
def dynamic_convolution() -> Kernel:
    return program(
        {"op": "fc", "to": "9*G"},
        {"op": "group", "by": "G"},
        {"op": "softmax", "axes": ["0.c"]},
        {"op": "unfold", "ins": [0], "over": "hw", "k": 3},
        {"op": "group", "by": "G"},
        {"op": "reassemble", "ins": [5, 3]},
    )
