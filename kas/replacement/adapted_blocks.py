"""What stands in the place of a whole block: an adapted template, with a norm behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kas.language.errors import KasError
from kas.replacement.standin import StandIn
from kas.solvers.targets import Target

__all__ = ["AdaptedAttention", "AdaptedBlock", "ChannelNorm"]


class ChannelNorm(nn.LayerNorm):
    """`[N, C, *size]` → the same: a layer norm of the channels at each position."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.movedim(-1, 1)


class AdaptedBlock(StandIn):
    """`[N, C_in, *input size]`, or a list of tensors that are concatenated, → `[N, C_out, *output size]`.

    Of tokens, `[N, *input size, C_in]` → `[N, *output size, C_out]`; the templates in it have the channels first.
    None and truth values that the block was given besides are ignored; it raises KasError for another tensor.

    layer: the adapted templates. norm: behind them, or an Identity.
    """

    self_attn = SimpleNamespace(batch_first=True)  # nn.TransformerEncoder asks its first layer for it

    def __init__(self, target: Target, layer: nn.Module) -> None:
        super().__init__()
        self.tokens = target.tokens
        self.layer = layer
        self.norm = _norm(target)

    def forward(self, x: Tensor | list[Tensor], *others: Any, **options: Any) -> Any:
        for other in (*others, *options.values()):
            if isinstance(other, Tensor) and other is not x:
                raise KasError("the block that a kernel replaced here took one tensor; now another comes with it")
        if isinstance(x, (list, tuple)):
            x = torch.cat(x, -1 if self.tokens else 1)
        y = self.norm(self.layer(x.movedim(-1, 1) if self.tokens else x))
        return y.movedim(1, -1) if self.tokens else y

    def extra_repr(self) -> str:
        return "tokens" if self.tokens else ""


class AdaptedAttention(AdaptedBlock):
    """In the place of `nn.MultiheadAttention` of a tensor with itself: `(query, key, value)` → `(output, None)`."""

    batch_first = True
    in_proj_bias = None  # so nn.TransformerEncoderLayer calls it, where it would call its own fused form

    def forward(self, query: Tensor, *others: Any, **options: Any) -> tuple[Tensor, None]:  # type: ignore[override]
        return super().forward(query, *others, **options), None


def _norm(target: Target) -> nn.Module:
    """The norm behind the templates, which works on `[N, C_out, *size]`."""
    if target.norm == "batch":
        return (nn.BatchNorm2d if target.rank == 2 else nn.BatchNorm1d)(target.out_channels)
    if target.norm == "layer":
        return ChannelNorm(target.out_channels)
    return nn.Identity()
