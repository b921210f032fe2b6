"""Modules that are one affine map of channels at neighbouring positions, and that map as torch's own layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from kas.lowering.fusing.affine import Affine, Source
from kas.lowering.fusing.kernels import program_of
from kas.lowering.fusing.maps import HERE, ConvMap, Floats
from kas.lowering.fusing.pricing import PASS
from kas.lowering.fusing.search import Search
from kas.lowering.origin import origin_of

__all__ = ["AffineMap", "convolution", "linear_price", "map_of", "price_of_map"]


class AffineMap(NamedTuple):
    """`linear(x) + bias`, the same at every position."""

    linear: ConvMap
    bias: Floats


def map_of(module: nn.Module) -> AffineMap | None:
    """What a module of `kas.build` does, if that is one affine map; None if it is not, or not known."""
    origin = origin_of(module)
    if origin is None:
        return None
    search = Search(program_of(module, origin))
    form: Affine | None = search.linear.get(search.output)
    start = Source(0)
    while form is not None and any(source != start for source in form.terms):
        source = max(source for source in form.terms if source != start)
        inner = search.linear.get(source.tensor)
        form = None if inner is None else form.inlined(source, inner)
    return None if form is None or not form.terms else AffineMap(form.terms[start], form.bias)


def linear_price(module: nn.Module) -> float:
    """The price of the linear steps of a module of `kas.build` as it is, for one sample."""
    origin = origin_of(module)
    return 0.0 if origin is None else Search(program_of(module, origin)).price({})


def price_of_map(map_: ConvMap, positions: int) -> float:
    """The price of a map as one convolution, for one sample."""
    return (map_.macs + PASS * max(map_.rows, map_.columns)) * positions


def convolution(found: AffineMap, rank: int, stride: tuple[int, ...] | None = None) -> nn.Module:
    """A map as `nn.Conv2d`, `nn.Conv1d` or `nn.Linear` in float64, its input at every position or at every stride-th one.

    With a stride s the taps are s times as far apart: the result is the map of `x[..., ::s]`.
    """
    map_, bias = found.linear, torch.from_numpy(np.array(found.bias))
    if rank == 0:
        layer: nn.Module = nn.Linear(map_.columns, map_.rows, dtype=torch.float64)
        dense = map_.taps[HERE].toarray() if map_.taps else np.zeros((map_.rows, map_.columns))
        return _with_weights(layer, torch.from_numpy(dense), bias)
    s = stride or (1,) * rank
    k, d = (pair[:rank] for pair in map_.window)
    spread = tuple(a * b for a, b in zip(d, s, strict=True))
    padding = tuple(a * (b - 1) // 2 for a, b in zip(spread, k, strict=True))
    weight = torch.from_numpy(map_.weight()).reshape(map_.rows, map_.columns // map_.groups, *k)
    one = {"stride": s, "padding": padding, "dilation": spread, "groups": map_.groups, "dtype": torch.float64}
    layer = (nn.Conv2d if rank == 2 else nn.Conv1d)(map_.columns, map_.rows, k, **one)  # type: ignore[arg-type]
    return _with_weights(layer, weight, bias)


def _with_weights(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> nn.Module:
    layer.register_parameter("weight", nn.Parameter(weight))
    layer.register_parameter("bias", nn.Parameter(bias) if bias.any() else None)
    return layer.eval()
