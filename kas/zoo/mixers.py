"""Known kernels that mix positions and channels in turn, and the feed-forward layers of transformers."""

from __future__ import annotations

from typing import Any

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []

_POSITIONS = ["1.h", "1.w"]
_NORM: dict[str, Any] = {"op": "normalize", "axes": ["0.c"], "how": "standard"}


@known(2017, "Vaswani et al., Attention is all you need (arXiv 1706.03762): the feed-forward layer", "biases")
def feed_forward() -> Kernel:
    return program({"op": "fc", "to": "x0"}, {"op": "relu"}, {"op": "fc", "to": "C"})


@known(2021, "So et al., Primer (arXiv 2109.08668): the feed-forward layer with squared ReLU", "biases")
def primer_feed_forward() -> Kernel:
    return program({"op": "fc", "to": "x0"}, {"op": "relu"}, {"op": "sqr"}, {"op": "fc", "to": "C"})


@known(
    2022,
    "Yu et al., MetaFormer is actually what you need (arXiv 2111.11418): the PoolFormer block",
    "affine of the norms, biases, layer scale",
    "`pool` that leaves the padding out: here borders count it",
)
def poolformer() -> Kernel:
    whole = {"op": "normalize", "axes": ["0.c", *_POSITIONS], "how": "standard"}
    return program(
        whole,
        {"op": "unfold", "over": "hw", "k": 3},
        {"op": "fold", "axes": ["0.kh", "0.kw"], "how": "mean"},
        {"op": "sub", "ins": [3, 1]},
        {"op": "add", "ins": [4, 0]},
        whole,
        {"op": "fc", "to": "x0"},
        {"op": "gelu"},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [5, 9]},
    )


@known(2021, "Tolstikhin et al., MLP-Mixer (arXiv 2105.01601): both halves of a layer", "affine of the norms, biases")
def mlp_mixer() -> Kernel:
    return program(
        _NORM,
        {"op": "mix", "axes": _POSITIONS, "to": ["x0", "1"]},
        {"op": "gelu"},
        {"op": "mix", "axes": ["1.h"], "to": ["H*W"]},
        {"op": "add", "ins": [4, 0]},
        _NORM,
        {"op": "fc", "to": "x1"},
        {"op": "gelu"},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [5, 9]},
    )


@known(2021, "Touvron et al., ResMLP (arXiv 2105.03404): both halves of a layer", "biases of the linear maps")
def resmlp() -> Kernel:
    affine = ({"op": "scale", "axes": ["0.c"]}, {"op": "bias", "axes": ["0.c"]})
    return program(
        *affine,
        {"op": "mix", "axes": _POSITIONS, "to": ["H", "W"]},
        {"op": "scale", "axes": ["0.c"]},
        {"op": "add", "ins": [0, 4]},
        *affine,
        {"op": "fc", "to": "x0"},
        {"op": "gelu"},
        {"op": "fc", "to": "C"},
        {"op": "scale", "axes": ["0.c"]},
        {"op": "add", "ins": [5, 11]},
    )


@known(
    2021,
    "Liu et al., Pay attention to MLPs (arXiv 2105.08050): the block with its spatial gate",
    "affine of the norms, biases; that the gate starts at one",
)
def gmlp() -> Kernel:
    return program(
        _NORM,
        {"op": "fc", "to": "x0"},
        {"op": "gelu"},
        {"op": "fc", "ins": [1], "to": "x0"},
        {"op": "gelu"},
        _NORM,
        {"op": "mix", "axes": _POSITIONS, "to": ["H", "W"]},
        {"op": "bias", "axes": _POSITIONS},
        {"op": "mul", "ins": [3, 8]},
        {"op": "fc", "to": "C"},
        {"op": "add", "ins": [0, 10]},
    )
