"""What the references of known kernels share: written from the papers, in plain PyTorch, knowing nothing of kas.

A reference is made of `channels`, `size`, `groups` and the inner widths `x` (`{"x0": 6}`). Its parameters, in the order in
which `mapped` gives them, are those of the kernel up to a view and a constant factor.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6


class Reference(nn.Module):
    """Base of the references: `[N, C, *size]` to the same."""

    def __init__(self, channels: int, size: tuple[int, ...], groups: int, x: Mapping[str, int]):
        super().__init__()
        self.channels, self.size, self.groups = channels, size, groups
        self.build(channels, groups, **x)

    def build(self, c: int, g: int, **x: int) -> None:
        """Make the layers, in the order of the kernel's steps where `mapped` is not overridden."""

    def mapped(self) -> list[Tensor]:
        """A tensor for each weight of the kernel, in step order."""
        return list(self.parameters())


def conv(inputs: int, outputs: int, k: int | tuple[int, int] = 1, *, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution of the same size, without bias."""
    return nn.Conv2d(inputs, outputs, k, padding="same", groups=groups, dilation=dilation, bias=False)


def depthwise(channels: int, k: int, dilation: int = 1) -> nn.Conv2d:
    """One filter for each channel."""
    return conv(channels, channels, k, groups=channels, dilation=dilation)


def layer_norm(x: Tensor) -> Tensor:
    """Over the channels of `[N, C, H, W]`, at each position, without affine."""
    return F.layer_norm(x.movedim(1, -1), x.shape[1:2], eps=EPS).movedim(-1, 1)


def rows(x: Tensor) -> Tensor:
    """`[N, C, H, W]` → `[N, H*W, C]`, a row for each position, as attention has it."""
    return x.flatten(2).transpose(1, 2)


def image(tokens: Tensor, like: Tensor) -> Tensor:
    """`[N, H*W, C]` → `[N, C, H, W]`."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[2:])


def shuffle(x: Tensor, groups: int) -> Tensor:
    """The channel shuffle of ShuffleNet."""
    n, c, *size = x.shape
    return x.view(n, groups, c // groups, *size).transpose(1, 2).reshape(n, c, *size)


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def random_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter, so that no scale is one and no bias is zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) / fan_in**0.5)
