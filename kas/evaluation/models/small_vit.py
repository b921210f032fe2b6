"""A small vision transformer (Dosovitskiy et al., 2021), with the norm before each part and the mean of all tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["EncoderBlock", "SmallViT", "small_vit"]


class EncoderBlock(nn.Module):
    """[N, L, C] → the same: attention, then an MLP, each behind a layer norm and beside a shortcut."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm1(inputs)
        hidden, _ = self.attention(hidden, hidden, hidden, need_weights=False)
        hidden = inputs + hidden
        return hidden + self.mlp(self.norm2(hidden))  # type: ignore[no-any-return]


class SmallViT(nn.Module):
    """[N, C, H, W] → logits [N, classes]: patches with learned positions, blocks, mean, linear."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...], width: int, blocks: int, heads: int, patch: int) -> None:
        super().__init__()
        channels, height, breadth = input_shape
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (height // patch) * (breadth // patch), width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(1))  # type: ignore[no-any-return]


def small_vit(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: int = 64,
    blocks: int = 4,
    heads: int = 4,
    patch: int = 2,
) -> SmallViT:
    """`blocks` blocks of `width` channels, on patches of `patch` x `patch` pixels; `heads` must divide `width`."""
    if len(input_shape) != 3:
        raise KasError(f"model small_vit needs images (C, H, W), but the data has samples of shape {input_shape}")
    if min(width, blocks, heads, patch) < 1 or width % heads or any(size % patch for size in input_shape[1:]):
        raise KasError(
            f"model small_vit: width {width}, blocks {blocks}, heads {heads}, patch {patch}; all must be at least 1, heads "
            f"must divide width, and patch the images (here {input_shape[1:]})"
        )
    return SmallViT(num_classes, input_shape, width, blocks, heads, patch)
