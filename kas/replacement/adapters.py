"""Adapters: a template `[C, *size] → [C, *size]` becomes a layer with any stride, padding, dilation and channels.

Output position p of a convolution is centred at input position p·s - left + d(k-1)/2. The input is cropped or padded
with zeros so that these centres match, then averaged over the s x s window around each (or only the centre is taken),
at whatever size the input has; the template then runs at the output's size. Half positions are rounded towards 0, so
that the usual layers (odd kernel, padding (k-1)/2, any stride) need neither crop nor padding.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kas.language.errors import KasError
from kas.replacement.adapted_blocks import AdaptedAttention, AdaptedBlock
from kas.replacement.blocks import axes_of_target, is_attention
from kas.replacement.layers import Axis
from kas.replacement.padding import Margin, margin_of, padding_mode
from kas.replacement.standin import StandIn
from kas.solvers.targets import Target

__all__ = ["DOWNSAMPLING", "AdaptedLayer", "Downsampling", "Resize", "adapt"]

Downsampling = Literal["average", "subsample"]
DOWNSAMPLING: tuple[Downsampling, ...] = ("average", "subsample")


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

    def forward(self, x: Tensor) -> Tensor:
        index: list[slice] = []
        pads: list[int] = []
        for n, axis, start in zip(x.shape[2:], self.axes, self.starts, strict=True):
            outputs = axis.outputs(n)
            if outputs < 1:
                raise KasError(f"input of size {list(x.shape[2:])} is too small for a convolution with {self.axes}")
            span = outputs * axis.stride if self.average else (outputs - 1) * axis.stride + 1
            past = start + span - n
            # A last window that is only begun needs no padding: the pooling averages over what is there.
            pads[:0] = [max(-start, 0), past if past >= (axis.stride if self.average else 1) else 0]
            index.append(slice(max(start, 0), min(start + span, n)))
        cropped = any(cut.start > 0 or cut.stop < n for cut, n in zip(index, x.shape[2:], strict=True))
        x = _cut(x, index) if cropped else x
        x = F.pad(x, pads) if any(pads) else x
        return self._downsample(x)

    def extra_repr(self) -> str:
        how = "average" if self.average else "subsample"
        return f"strides={self.strides}, starts={self.starts}, {how}"

    def _downsample(self, x: Tensor) -> Tensor:
        if not self.average:
            strided = any(stride > 1 for stride in self.strides)
            return _cut(x, [slice(None, None, stride) for stride in self.strides]) if strided else x
        whole = all(n % stride == 0 for n, stride in zip(x.shape[2:], self.strides, strict=True))
        if whole and _pools_slowly(x):
            return _mean_of_windows(x, self.strides)
        if len(self.strides) == 2:
            return F.avg_pool2d(x, self.strides, ceil_mode=True)
        return F.avg_pool1d(x, self.strides, ceil_mode=True)

    def _start(self, axis: Axis) -> int:
        """First input position of the first window (negative: in the padding)."""
        twice = axis.extent - 2 * axis.left - (axis.stride - 1 if self.average else 0)
        return twice // 2 if twice >= 0 else -(-twice // 2)


class AdaptedLayer(StandIn):
    """Templates with what stands around them: `[N, C_in, *input size]` → `[N, C_out, *output size]`.

    margin: for padding modes other than zeros. resize: for stride and padding, if they need it. projection: the 1x1
    convolution of an adapter of that kind. bias: `[C_out]`, if the replaced layer had one (zeros at first).
    """

    def __init__(
        self, target: Target, templates: list[nn.Module], resize: Resize | None, margin: Margin | None = None
    ) -> None:
        super().__init__()
        self.kind = target.adapter.kind
        self.margin = margin
        self.resize = resize
        self.projection = _projection(target) if self.kind == "projection" else None
        self.templates = nn.ModuleList(templates)
        self.bias = nn.Parameter(torch.zeros(target.out_channels)) if target.bias else None
        self.bias_shape = (-1, *(1,) * target.rank)

    def forward(self, x: Tensor) -> Tensor:
        whole = x
        if self.margin is not None:
            x = self.margin(x)
        if self.resize is not None:
            x = self.resize(x)
        if self.projection is not None:
            x = self.projection(x)
        if self.kind == "copies":
            y = torch.cat([template(x) for template in self.templates], 1)
        elif self.kind == "splits":
            chunks = x.chunk(len(self.templates), 1)
            first, *others = (template(chunks[i]) for i, template in enumerate(self.templates))
            y = first
            for other in others:
                y = y + other
        else:
            y = self.templates[0](x)
        if self.margin is not None:
            y = self.margin.crop(y, whole)
        return y if self.bias is None else y + self.bias.view(self.bias_shape).to(y.dtype)

    def extra_repr(self) -> str:
        return f"kind={self.kind!r}"


def adapt(
    target: Target,
    module: nn.Module,
    build_template: Callable[[Target], nn.Module],
    downsampling: Downsampling = "average",
) -> nn.Module:
    """What takes the place of a layer or block, and answers as that did.

    build_template: called once for each template; gives a module `[N, C_t, *size]` → the same shape.
    Raises KasError for an unknown `downsampling`, Infeasible if the layer's padding mode cannot be kept.
    """
    if downsampling not in DOWNSAMPLING:
        raise KasError(f"downsampling={downsampling!r}; expected one of {', '.join(DOWNSAMPLING)}")
    axes = axes_of_target(target, module)
    same_size = all(axis.stride == 1 and axis.left + axis.right == axis.extent for axis in axes)
    resize = None if same_size else Resize(axes, downsampling)
    templates = [build_template(target) for _ in range(target.adapter.templates)]
    if target.block:
        alone = resize is None and target.adapter.kind == "same" and not target.bias
        layer = templates[0] if alone else AdaptedLayer(target, templates, resize)
        adapted: StandIn = (AdaptedAttention if is_attention(module) else AdaptedBlock)(target, layer)
    else:
        margin = _margin(target, module, axes, templates[0], resize)
        adapted = AdaptedLayer(target, templates, resize, margin)
    adapted.stand_for(module)
    return adapted


def _margin(
    target: Target, layer: nn.Module, axes: tuple[Axis, ...], template: nn.Module, resize: Resize | None
) -> Margin | None:
    """What a padding mode other than zeros needs; None for zeros."""
    mode = padding_mode(layer, axes)
    if mode == "zeros":
        return None
    return Margin(mode, axes, margin_of(template, target, mode), (0,) * len(axes) if resize is None else resize.starts)


def _cut(x: Tensor, spatial: list[slice]) -> Tensor:
    """A view of `[N, C, ...]`, cut along its spatial axes."""
    return x[:, :, spatial[0]] if len(spatial) == 1 else x[:, :, spatial[0], spatial[1]]


def _pools_slowly(x: Tensor) -> bool:
    """Whether torch's own pooling is slow: eager, on a CPU, with channels first, where it takes 3 to 10 times as long."""
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x.device.type == "cpu" and not channels_last and not torch.compiler.is_compiling()


def _mean_of_windows(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Average pooling of whole windows as sums of strided views, one axis after the other."""
    for axis, stride in enumerate(strides, start=2):
        if stride > 1:
            first, *others = torch.unflatten(x, axis, (-1, stride)).unbind(axis + 1)
            x = first + others[0]
            for other in others[1:]:
                x = x + other
    return x.mul_(1 / prod(strides))


def _projection(target: Target) -> nn.Module:
    """A 1x1 convolution C_in → C_out without bias that keeps the variance."""
    c_in, c_out = target.in_channels, target.out_channels
    projection: nn.Module
    if target.rank == 0:
        projection = nn.Linear(c_in, c_out, bias=False)
    else:
        projection = (nn.Conv2d if target.rank == 2 else nn.Conv1d)(c_in, c_out, 1, bias=False)
    nn.init.normal_(projection.weight, std=c_in**-0.5)
    return projection
