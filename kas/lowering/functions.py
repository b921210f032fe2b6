"""Functions that generated modules call: the check of a size, an image with its channels last in memory, and first.

A built module calls them here; a file for people brings a copy of their text along. torch.fx records each call as one node,
since what they do depends on values that it does not know.
"""

import torch
from torch import Tensor

__all__ = ["channels_first", "channels_last", "require"]


@torch.fx.wrap
def require(condition: bool, message: str, first: int = 0, second: int = 0) -> None:
    """Raise ValueError with the message and its sizes unless the condition holds. While torch.jit traces, it is a tensor."""
    if isinstance(condition, Tensor):
        return
    if not condition:
        raise ValueError(message.format(first, second))


@torch.fx.wrap
def channels_last(x: Tensor) -> Tensor:
    """The same image with its channels last in memory. On a CPU a shuffle of channels transposes faster than a copy does."""
    if x.stride(1) == 1:
        return x
    n, c, h, w = x.shape
    turned = torch.channel_shuffle(x.reshape(n, 1, 1, c * h * w).permute(0, 3, 1, 2), c)
    return turned.reshape(n, h, w, c).permute(0, 3, 1, 2)


@torch.fx.wrap
def channels_first(x: Tensor) -> Tensor:
    """The same image with its channels first in memory, the inverse of a shuffle that puts them last."""
    if x.stride(1) > 1:
        return x
    n, c, h, w = x.shape
    if x.stride(3) != c:  # a part of the channels
        return x.contiguous()
    turned = torch.channel_shuffle(x.permute(0, 2, 3, 1).reshape(n, 1, 1, c * h * w).permute(0, 3, 1, 2), h * w)
    return turned.reshape(n, c, h, w)
