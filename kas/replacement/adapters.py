"""Adapters: a template `[C, *size] → [C, *size]` becomes a layer with any stride, padding, dilation and channels.

The input is brought to the output's positions first (`kas.replacement.resize`); the template runs at that size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kas.language.errors import KasError
from kas.replacement.adapted_blocks import AdaptedAttention, AdaptedBlock
from kas.replacement.blocks import axes_of_target, is_attention
from kas.replacement.layers import Axis
from kas.replacement.padding import Margin, margin_of, padding_mode
from kas.replacement.resize import DOWNSAMPLING, Downsampling, Resize
from kas.replacement.standin import StandIn
from kas.solvers.targets import Target

__all__ = ["AdaptedLayer", "adapt"]


class AdaptedLayer(StandIn):
    """Templates with what stands around them: `[N, C_in, *input size]` → `[N, C_out, *output size]`.

    margin: for padding modes other than zeros. resize: for stride and padding, if they need it. projection: the 1x1
    convolution of an adapter of that kind. bias: `[C_out]`, if the replaced layer had one (zeros at first).
    """

    def __init__(self, target: Target, templates: list[nn.Module], resize: Resize | None, margin: Margin | None = None) -> None:
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
