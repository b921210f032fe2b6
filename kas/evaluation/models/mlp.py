"""A multi-layer perceptron: linear layers, the home of kernels of rank 0."""

from __future__ import annotations

import math

from torch import nn

from kas.language.errors import KasError

__all__ = ["mlp"]


def mlp(*, num_classes: int, input_shape: tuple[int, ...], width: int = 128, depth: int = 3) -> nn.Sequential:
    """[N, ...] flattened → `depth` hidden layers of `width` (linear, BN, ReLU) → logits [N, classes]."""
    if width < 1 or depth < 1:
        raise KasError(f"model mlp: width {width}, depth {depth}; both must be at least 1")
    layers: list[nn.Module] = [nn.Flatten()]
    features = math.prod(input_shape)
    for _ in range(depth):
        layers.append(nn.Sequential(nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()))
        features = width
    return nn.Sequential(*layers, nn.Linear(features, num_classes))
