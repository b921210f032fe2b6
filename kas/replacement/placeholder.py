"""A layer that says "put a kernel here": a plain convolution until it is replaced."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["Placeholder"]


class Placeholder(nn.Module):
    """A convolution with same padding and no bias, which `find_targets` always finds and `replace` replaces.

    `[N, in_channels, h, w]` → `[N, out_channels, ceil(h/stride), ceil(w/stride)]` at rank 2 (one axis at rank 1; at
    rank 0 a linear layer `[N, in_channels]` → `[N, out_channels]`, where kernel_size and stride have no meaning).

    kernel_size: odd; one number or one per axis. stride: one number or one per axis.
    Raises KasError for sizes that no such convolution has.

    >>> layer = Placeholder(8, 16, kernel_size=3, stride=2)
    >>> layer
    Placeholder(8, 16, kernel_size=(3, 3), stride=(2, 2))
    >>> layer(torch.zeros(2, 8, 6, 6)).shape
    torch.Size([2, 16, 3, 3])
    """

    groups = 1
    bias = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...] = 3,
        stride: int | tuple[int, ...] = 1,
        *,
        rank: int = 2,
    ) -> None:
        super().__init__()
        if rank not in (0, 1, 2):
            raise KasError(f"Placeholder: rank={rank}; expected 2 (images), 1 (sequences) or 0 (linear)")
        if in_channels < 1 or out_channels < 1:
            raise KasError(f"Placeholder: {in_channels} → {out_channels} channels; expected at least 1")
        self.rank = rank
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = _per_axis("kernel_size", kernel_size, rank)
        self.stride = _per_axis("stride", stride, rank)
        if any(k % 2 == 0 for k in self.kernel_size):
            raise KasError(f"Placeholder: kernel_size={kernel_size}; same padding needs odd numbers")
        self.dilation = (1,) * rank
        self.padding = tuple(k // 2 for k in self.kernel_size)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch's own convolutions

    def forward(self, x: Tensor) -> Tensor:
        if self.rank == 2:
            return F.conv2d(x, self.weight, None, self.stride, self.padding)
        if self.rank == 1:
            return F.conv1d(x, self.weight, None, self.stride, self.padding)
        return F.linear(x, self.weight)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"


def _per_axis(name: str, value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(v < 1 for v in values):
        raise KasError(f"Placeholder: {name}={value}; expected {rank} numbers of at least 1, or one for all axes")
    return values
