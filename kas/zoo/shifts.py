"""Known kernels that shift parts of the channels, each its own way, between linear maps."""

from __future__ import annotations

from typing import Any

from kas.language import Kernel
from kas.zoo._registry import known, program

__all__: list[str] = []

_NORM: dict[str, Any] = {"op": "normalize", "axes": ["0.c"], "how": "standard"}
_WHOLE: dict[str, Any] = {"op": "normalize", "axes": ["0.c", "1.h", "1.w"], "how": "standard"}


def _shift(pad: str, *by: tuple[int, int]) -> dict[str, Any]:
    return {"op": "spatial_shift", "by": [list(pair) for pair in by], "pad": pad}


@known(
    2018,
    "Wu et al., Shift (arXiv 1711.08141): convolution, shift, convolution; a ninth of the channels for each neighbour",
    "the norms and the residual",
)
def shiftnet() -> Kernel:
    return program(
        {"op": "fc", "to": "9*x0"},
        {"op": "relu"},
        _shift("zero", *((h, w) for h in (-1, 0, 1) for w in (-1, 0, 1))),
        {"op": "fc", "to": "C"},
    )


@known(2022, "Yu et al., S2-MLP (arXiv 2106.07477): the shift block and its channel half", "affine of the norms, biases")
def s2_mlp() -> Kernel:
    return program(
        *(_NORM, {"op": "fc", "to": "C"}, {"op": "gelu"}),
        _shift("edge", (0, 1), (0, -1), (1, 0), (-1, 0)),
        *({"op": "fc", "to": "C"}, {"op": "add", "ins": [5, 0]}),
        *(_NORM, {"op": "fc", "to": "x0"}, {"op": "gelu"}, {"op": "fc", "to": "C"}),
        {"op": "add", "ins": [6, 10]},
    )


@known(
    2022,
    "Lian et al., AS-MLP (arXiv 2107.08391): the axial shift, three parts, along rows and along columns",
    "affine of the norms, biases",
    "an inner width of C in thirds: it is free",
)
def as_mlp() -> Kernel:
    rows, columns = [(-1, 0), (0, 0), (1, 0)], [(0, -1), (0, 0), (0, 1)]
    inner: dict[str, Any] = {"op": "fc", "to": "3*x0"}
    return program(
        *(inner, _WHOLE, {"op": "gelu"}),
        *(_shift("zero", *columns), inner, {"op": "gelu"}),
        *({**_shift("zero", *rows), "ins": [3]}, inner, {"op": "gelu"}),
        *({"op": "add", "ins": [6, 9]}, _WHOLE, {"op": "fc", "to": "C"}),
    )
