"""What a replaceable layer says about itself: the geometry of `Conv1d`, `Conv2d`, `Linear` and `Placeholder` alike."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from kas.language.errors import KasError
from kas.replacement.placeholder import Placeholder
from kas.solvers.targets import Target

__all__ = ["LAYERS", "REPLACEABLE", "Axis", "Layer", "axes_of", "describe", "rank_of"]

Layer = nn.Conv1d | nn.Conv2d | nn.Linear | Placeholder
REPLACEABLE = (nn.Conv1d, nn.Conv2d, nn.Linear, Placeholder)
# Every kind that is spoken of as a layer; any other module is a block where it is chosen by name or type.
LAYERS = (*REPLACEABLE, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Axis:
    """A convolution along one spatial axis: `extent` is d(k-1), `left` and `right` are its paddings."""

    extent: int
    stride: int
    left: int
    right: int

    def outputs(self, n: int) -> int:
        """Output positions for `n` input positions: floor((n + left + right - d(k-1) - 1)/s) + 1."""
        return (n + self.left + self.right - self.extent - 1) // self.stride + 1


def rank_of(layer: nn.Module) -> int:
    """Spatial axes of a replaceable layer: 2, 1, or 0 for a linear layer."""
    if isinstance(layer, Placeholder):
        return layer.rank
    return 2 if isinstance(layer, nn.Conv2d) else 1 if isinstance(layer, nn.Conv1d) else 0


def axes_of(layer: nn.Module) -> tuple[Axis, ...]:
    """The geometry of a replaceable layer, one entry per spatial axis."""
    if isinstance(layer, nn.Linear):
        return ()
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d, Placeholder)):
        raise KasError(f"{type(layer).__name__} cannot be replaced; expected Conv1d, Conv2d, Linear or Placeholder")
    axes = []
    for axis, (k, stride, dilation) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)):
        extent = dilation * (k - 1)
        if layer.padding == "same":
            left, right = extent // 2, extent - extent // 2
        elif isinstance(layer.padding, str):
            left = right = 0
        else:
            left = right = layer.padding[axis]
        axes.append(Axis(extent, stride, left, right))
    return tuple(axes)


def describe(name: str, layer: nn.Module, size: tuple[int, ...]) -> Target:
    """The target that a replaceable layer is, where its output has the spatial size `size`."""
    if isinstance(layer, nn.Linear):
        return Target(name, layer.in_features, layer.out_features, (), kernel_size=(), bias=layer.bias is not None)
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d, Placeholder)):
        raise KasError(f"{name}: {type(layer).__name__} cannot be replaced; expected Conv1d, Conv2d or Linear")
    return Target(
        name=name,
        in_channels=layer.in_channels,
        out_channels=layer.out_channels,
        size=size,
        stride=tuple(layer.stride),
        kernel_size=tuple(layer.kernel_size),
        groups=layer.groups,
        dilation=tuple(layer.dilation),
        bias=layer.bias is not None,
    )
