"""Known kernels over windows and patches, and at a coarser resolution in between."""

from __future__ import annotations

from typing import Any

from kas.language import Kernel
from kas.zoo._registry import known, program
from kas.zoo.heads import average, maps, scores

__all__: list[str] = []

_INSIDE = ("g", "kh", "kw")  # a product for each head and window
_SIDE = 7  # positions along each side of a window, as published


def _windows(first: int) -> list[dict[str, Any]]:
    """Three tensors in a row in windows: the windows are taps, the places in them positions."""
    return [{"op": "window", "ins": [i], "over": "hw", "size": _SIDE, "grid": True} for i in range(first, first + 3)]


@known(2021, "Liu et al., Swin transformer (arXiv 2103.14030): attention in windows of 7, G heads", "the norm, biases, mask")
def swin_attention() -> Kernel:
    return program(
        *(*maps("C"), *_windows(4), scores(7, 8, *_INSIDE), average(9, 10, *_INSIDE)),
        {"op": "unwindow", "over": "hw", "grid": True},
        {"op": "ungroup"},
        {"op": "fc", "to": "C"},
    )


@known(
    2022,
    "Liu et al., Swin transformer V2 (arXiv 2111.09883): scaled cosine attention in windows of 7, G heads",
    "the norm, biases, mask; that the temperature is the exponential of a bounded number",
)
def swin_v2_attention() -> Kernel:
    unit: dict[str, Any] = {"op": "normalize", "axes": ["0.c"], "how": "l2"}
    return program(
        *maps("C"),
        *({**unit, "ins": [4]}, {"op": "scale", "axes": ["0.g"]}, {**unit, "ins": [5]}),
        *({"op": "window", "ins": [i], "over": "hw", "size": _SIDE, "grid": True} for i in (8, 9, 6)),
        *(scores(10, 11, *_INSIDE), average(12, 13, *_INSIDE)),
        {"op": "unwindow", "over": "hw", "grid": True},
        {"op": "ungroup"},
        {"op": "fc", "to": "C"},
    )


@known(
    2022,
    "Mehta and Rastegari, MobileViT (arXiv 2110.02178): among equal places of all patches of 2x2, one head; with another "
    "interval the long-distance attention of CrossFormer (arXiv 2108.00154)",
    "the norm, biases, the feed-forward half, the convolutions around it",
)
def patchwise_attention() -> Kernel:
    return program(
        *maps("x0", heads=False),
        *({"op": "window", "ins": [i], "over": "hw", "size": 2} for i in (1, 2, 3)),
        *(scores(4, 5, "kh", "kw"), average(6, 7, "kh", "kw")),
        {"op": "unwindow", "over": "hw"},
        {"op": "fc", "to": "C"},
    )


@known(
    2021,
    "Wang et al., Pyramid vision transformer (arXiv 2102.12122): keys and values of patches of 2x2, one head",
    "the norm before, biases",
)
def spatial_reduction_attention() -> Kernel:
    return program(
        {"op": "window", "over": "hw", "size": 2},
        {"op": "fc", "to": "C"},
        {"op": "normalize", "axes": ["0.c"], "how": "standard"},
        *({"op": "fc", "ins": [i], "to": "x0"} for i in (0, 3, 3)),
        {"op": "matmul", "ins": [4, 5], "t": [True, False], "softmax": True},
        {"op": "matmul", "ins": [6, 7], "t": [False, True]},
        {"op": "fc", "to": "C"},
    )


@known(
    2021,
    "Dosovitskiy et al., An image is worth 16x16 words (arXiv 2010.11929): embedding of patches, here of 2x2; back by the "
    "sub-pixel convolution of Shi et al. (arXiv 1609.05158)",
    "biases, the position embedding",
)
def patch_embedding() -> Kernel:
    return program(
        {"op": "window", "over": "hw", "size": 2},
        {"op": "fc", "to": "x0"},
        {"op": "gelu"},
        {"op": "fc", "to": "4*C"},
        {"op": "subpixel", "over": "hw", "k": 2},
        {"op": "unwindow", "over": "hw"},
    )


@known(
    2016,
    "Shi et al., Efficient sub-pixel convolution, ESPCN (arXiv 1609.05158): the last layer, twice the resolution",
    "biases; a maximum over 2x2 comes before, so that the size stays",
)
def pixel_shuffle() -> Kernel:
    return program(
        {"op": "pool", "over": "hw", "k": 2, "how": "max"},
        {"op": "conv", "to": "4*C", "k": [3, 3]},
        {"op": "subpixel", "over": "hw", "k": 2},
        {"op": "unwindow", "over": "hw"},
    )


@known(
    2020,
    "Liu et al., Self-calibrated convolutions (CVPR 2020), reduction 4: the calibrated half",
    "the norms; the other half, which is a convolution",
)
def self_calibrated() -> Kernel:
    convolution: dict[str, Any] = {"op": "conv", "to": "C", "k": [3, 3]}
    return program(
        {"op": "pool", "over": "hw", "k": 4, "how": "mean"},
        convolution,
        {"op": "upsample", "over": "hw", "k": 4},
        {"op": "add", "ins": [0, 3]},
        {"op": "sigmoid"},
        {**convolution, "ins": [0]},
        {"op": "mul", "ins": [5, 6]},
        convolution,
    )
