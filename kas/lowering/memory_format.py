"""Functions that the generated modules bring along: an image with its channels last in memory, and first."""

from __future__ import annotations

__all__ = ["functions"]

_FUNCTIONS = {
    "channels_last": '''\
def channels_last(x: Tensor) -> Tensor:
    """The same image with its channels last in memory. On a CPU a shuffle of channels transposes faster than a copy does."""
    if x.stride(1) == 1:
        return x
    n, c, h, w = x.shape
    turned = torch.channel_shuffle(x.reshape(n, 1, 1, c * h * w).permute(0, 3, 1, 2), c)
    return turned.reshape(n, h, w, c).permute(0, 3, 1, 2)
''',
    "channels_first": '''\
def channels_first(x: Tensor) -> Tensor:
    """The same image with its channels first in memory, the inverse of a shuffle that puts them last."""
    if x.stride(1) > 1:
        return x
    n, c, h, w = x.shape
    if x.stride(3) != c:  # a part of the channels
        return x.contiguous()
    turned = torch.channel_shuffle(x.permute(0, 2, 3, 1).reshape(n, 1, 1, c * h * w).permute(0, 3, 1, 2), h * w)
    return turned.reshape(n, c, h, w)
''',
}


def functions(body: str) -> str:
    """The source of those that a body calls, each with the two empty lines before it."""
    return "".join(f"\n\n{text}" for name, text in _FUNCTIONS.items() if f"{name}(" in body)
