"""What an adapter does for stride and padding: from the positions of the input to those of the output.

Output position p of a convolution is centred at input position p·s - left + d(k-1)/2. The input is cropped or padded
with zeros so that these centres match, then averaged over the s x s window around each (or only the centre is taken),
at whatever size the input has. Half positions are rounded towards 0, so that the usual layers (odd kernel, padding
(k-1)/2, any stride) need neither crop nor padding.
"""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kas.language.errors import KasError
from kas.replacement.layers import Axis

__all__ = ["DOWNSAMPLING", "Downsampling", "Resize"]

Downsampling = Literal["average", "subsample"]
DOWNSAMPLING: tuple[Downsampling, ...] = ("average", "subsample")

Windows = tuple[tuple[int, int, int], ...]


class Resize(nn.Module):
    """`[N, C, *input size]` → `[N, C, *output size]` of a convolution with the geometry `axes`; no weights.

    downsampling: `average` over each stride window (positions past the end do not count), or `subsample`.
    """

    def __init__(self, axes: tuple[Axis, ...], downsampling: Downsampling) -> None:
        super().__init__()
        self.axes = axes
        self.average = downsampling == "average" and any(axis.stride > 1 for axis in axes)
        self.strides = tuple(axis.stride for axis in axes)
        self.starts = tuple(self._start(axis) for axis in axes)
        added = (axis.left + axis.right - axis.extent for axis in axes)
        self.windows: Windows = tuple(zip(self.strides, self.starts, added, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return _resized(x, self.windows, self.average)

    def extra_repr(self) -> str:
        how = "average" if self.average else "subsample"
        return f"strides={self.strides}, starts={self.starts}, {how}"

    def _start(self, axis: Axis) -> int:
        """First input position of the first window (negative: in the padding)."""
        twice = axis.extent - 2 * axis.left - (axis.stride - 1 if self.average else 0)
        return twice // 2 if twice >= 0 else -(-twice // 2)


@torch.fx.wrap  # kept whole by torch.fx: what is cropped and padded depends on the size
def _resized(x: Tensor, windows: Windows, average: bool) -> Tensor:
    """The input at the output's positions.

    windows: for each spatial axis its stride, the first input position of the first window, and by how much the positions
    that a window of the convolution has exceed those of the input (left + right - d(k-1)).
    """
    if any(start or added for _, start, added in windows):
        x = _aligned(x, windows, average)
    strides = tuple(stride for stride, _, _ in windows)
    if not average:
        return _cut(x, [slice(None, None, stride) for stride in strides]) if any(stride > 1 for stride in strides) else x
    if _pools_slowly(x) and all(n % stride == 0 for n, stride in zip(x.shape[2:], strides, strict=True)):
        return _mean_of_windows(x, strides)
    return (F.avg_pool2d if len(strides) == 2 else F.avg_pool1d)(x, strides, ceil_mode=True)


def _aligned(x: Tensor, windows: Windows, average: bool) -> Tensor:
    """The input from the first position of the first window to the last of the last, with zeros where it has none."""
    index: list[slice] = []
    pads: list[int] = []
    for n, (stride, start, added) in zip(x.shape[2:], windows, strict=True):
        outputs = (n + added - 1) // stride + 1
        if outputs < 1:
            raise KasError(f"input of size {list(x.shape[2:])} is too small for a convolution that needs {1 - added} positions")
        span = outputs * stride if average else (outputs - 1) * stride + 1
        past = start + span - n
        # A last window that is only begun needs no padding: the pooling averages over what is there.
        pads[:0] = [max(-start, 0), past if past >= (stride if average else 1) else 0]
        index.append(slice(max(start, 0), min(start + span, n)))
    cropped = any(cut.start > 0 or cut.stop < n for cut, n in zip(index, x.shape[2:], strict=True))
    x = _cut(x, index) if cropped else x
    return F.pad(x, pads) if any(pads) else x


def _cut(x: Tensor, spatial: list[slice]) -> Tensor:
    """A view of `[N, C, ...]`, cut along its spatial axes."""
    return x[:, :, spatial[0]] if len(spatial) == 1 else x[:, :, spatial[0], spatial[1]]


def _pools_slowly(x: Tensor) -> bool:
    """Whether torch's own pooling is slow: eager, on a CPU, with channels first, where it takes 3 to 10 times as long."""
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return x.device.type == "cpu" and not channels_last and not recorded


def _mean_of_windows(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Average pooling of whole windows as sums of strided views, one axis after the other."""
    for axis, stride in enumerate(strides, start=2):
        if stride > 1:
            first, *others = torch.unflatten(x, axis, (-1, stride)).unbind(axis + 1)
            x = first + others[0]
            for other in others[1:]:
                x = x + other
    return x.mul_(1 / prod(strides))
