"""The inference form of one layer: a plain one with its BatchNorm, or an adapter with the kernels in it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import fusion

from kas.language.errors import KasError
from kas.lowering.fusing import (
    AffineMap,
    Fused,
    convolution,
    fuse_kernel,
    fuse_kernel_before,
    fused_parts,
    linear_price,
    map_of,
    price_of_map,
)
from kas.lowering.fusing.checking import EXACT, exact_difference, module_tensor
from kas.lowering.fusing.maps import ConvMap, Floats
from kas.lowering.fusing.pricing import PASS
from kas.lowering.origin import Origin, origin_of
from kas.replacement.adapters import AdaptedLayer
from kas.replacement.placeholder import Placeholder
from kas.replacement.resize import Resize

__all__ = ["fuse_layer"]

_Norm = Any  # nn.BatchNorm1d | nn.BatchNorm2d


def fuse_layer(layer: nn.Module, norm: _Norm | None) -> tuple[nn.Module, bool, list[Fused]]:
    """The inference form of a layer, whether that includes the BatchNorm behind it, and what was fused (without names)."""
    if isinstance(layer, AdaptedLayer):
        return _fuse_adapted(layer, norm)
    if origin_of(layer) is not None:
        return _fuse_template(layer, norm)
    if norm is None:
        return layer, False, []
    fused = _fuse_plain(_plain(layer), norm)
    words = type(layer).__name__, type(fused).__name__
    return fused, True, [Fused("", f"{words[0]} {type(norm).__name__}", words[1])]


def _plain(layer: nn.Module) -> nn.Module:
    """A Placeholder as the torch layer that it stands for."""
    if not isinstance(layer, Placeholder):
        return layer
    weight = layer.weight.detach()
    options: dict[str, Any] = {"bias": False, "device": weight.device, "dtype": weight.dtype}
    if layer.rank == 0:
        plain: nn.Module = nn.Linear(layer.in_channels, layer.out_channels, **options)
    else:
        kind = nn.Conv2d if layer.rank == 2 else nn.Conv1d
        options |= {"stride": layer.stride, "padding": layer.padding}
        plain = kind(layer.in_channels, layer.out_channels, layer.kernel_size, **options)  # type: ignore[arg-type]
    plain.register_parameter("weight", nn.Parameter(weight.clone()))
    return plain.eval()


def _fuse_plain(layer: Any, norm: _Norm) -> nn.Module:
    """A convolution or linear layer with the BatchNorm behind it, by torch's own function, in float64."""
    dtype, linear = layer.weight.dtype, isinstance(layer, nn.Linear)
    channels_last = layer.weight.dim() == 4 and layer.weight.is_contiguous(memory_format=torch.channels_last)
    exact = copy.deepcopy(layer).double(), copy.deepcopy(norm).double()
    fused: nn.Module = (fusion.fuse_linear_bn_eval if linear else fusion.fuse_conv_bn_eval)(*exact)
    x = torch.randn(2, *_small_input(layer), generator=torch.Generator().manual_seed(0))
    wrong = exact_difference(nn.Sequential(*exact).eval(), fused, (x,), {})
    _refuse(wrong, f"{layer} with {norm}")
    fused = fused.to(dtype)
    return fused.to(memory_format=torch.channels_last) if channels_last else fused  # type: ignore[call-overload]


def _small_input(layer: Any) -> tuple[int, ...]:
    """The shape of an input without its batch, for which a convolution or linear layer has some output."""
    if isinstance(layer, nn.Linear):
        return (layer.in_features,)
    return (
        layer.in_channels,
        *(d * (k - 1) + s + 1 for k, d, s in zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)),
    )


def _fuse_template(module: nn.Module, norm: _Norm | None) -> tuple[nn.Module, bool, list[Fused]]:
    fused = None if norm is None else fuse_kernel_before(module, *_scale_and_bias(norm), norm.running_mean)
    if fused is not None:
        return fused, True, list(fused_parts(fused))
    fused = fuse_kernel(module)
    return fused, False, list(fused_parts(fused))


def _scale_and_bias(norm: _Norm) -> tuple[Floats, Floats]:
    """A BatchNorm in eval mode, as a scale and a bias of channels."""
    mean, var = (tensor.detach().cpu().double() for tensor in (norm.running_mean, norm.running_var))
    scale = (var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach().cpu().double()
    bias = -mean * scale
    if norm.affine and norm.bias is not None:
        bias = bias + norm.bias.detach().cpu().double()
    return scale.numpy(), bias.numpy()


def _fuse_adapted(layer: AdaptedLayer, norm: _Norm | None) -> tuple[nn.Module, bool, list[Fused]]:
    """What is behind the templates (the adapter's bias, a BatchNorm) goes into them; then all of it into one convolution."""
    templates = list(layer.templates)
    behind = _parts(layer, norm)
    folded: list[nn.Module] = []
    if behind is not None:
        like = module_tensor(layer) if norm is None else norm.running_mean
        found = [fuse_kernel_before(template, *own, like) for template, own in zip(templates, behind, strict=True)]
        folded = [one for one in found if one is not None]
    whole = behind is not None and len(folded) == len(templates)
    fused = folded if whole else [fuse_kernel(template) for template in templates]
    parts = [part for template in fused for part in fused_parts(template)]
    made = copy.deepcopy(layer).eval()
    made.templates = nn.ModuleList(fused)
    if whole:
        made.bias = None
    joined = _joined(made)
    if joined is None:
        return made, whole and norm is not None, parts
    module, report = joined
    return module, whole and norm is not None, [*parts, report]


def _parts(layer: AdaptedLayer, norm: _Norm | None) -> list[tuple[Floats, Floats]] | None:
    """Scale and bias that each template takes over from what is behind it; None if nothing is."""
    if layer.bias is None and norm is None:
        return None
    own = None if layer.bias is None else layer.bias.detach().cpu().double().flatten().numpy()
    if norm is None:
        assert own is not None
        scale, bias = np.ones(len(own)), own
    else:
        scale, bias = _scale_and_bias(norm)
        bias = bias if own is None else bias + scale * own
    count = len(layer.templates)
    if layer.kind == "copies":
        return list(zip(np.split(scale, count), np.split(bias, count), strict=True))
    return [(scale, bias if i == 0 else np.zeros_like(bias)) for i in range(count)]


def _joined(layer: AdaptedLayer) -> tuple[nn.Module, Fused] | None:
    """Projection, templates and what joins them as one convolution, if they are one and that is cheaper."""
    origin = origin_of(layer.templates[0])
    if layer.margin is not None:  # one convolution would pad with zeros
        return None
    maps = [map_of(template) for template in layer.templates]
    if origin is None or any(found is None for found in maps):
        return None
    whole = _whole_map(layer, [found for found in maps if found is not None])
    if whole is None:
        return None
    stride = _stride(layer.resize)
    before, after = _price(layer, origin, stride is not None), price_of_map(whole.linear, prod(origin.size))
    if after >= before:
        return None
    exact = convolution(whole, len(origin.size), stride)
    rest = None if layer.resize is None or stride is not None else layer.resize
    _check(layer, exact if rest is None else nn.Sequential(rest, exact), whole.linear.columns, origin)
    tensor = module_tensor(layer)
    made = exact.to(device=tensor.device, dtype=tensor.dtype)
    module = made if rest is None else _behind(rest, made, layer)
    words = [layer.kind, *(["stride"] if stride is not None else [])]
    return module.eval(), Fused("", f"adapter ({', '.join(words)})", type(made).__name__, before, after)


def _behind(resize: Resize, convolution: nn.Module, layer: AdaptedLayer) -> AdaptedLayer:
    """A layer with one convolution in place of all that is behind its resizing; it goes on to answer as the layer did."""
    layer.kind, layer.resize, layer.projection, layer.bias = "same", resize, None, None
    layer.templates = nn.ModuleList([convolution])
    return layer


def _whole_map(layer: AdaptedLayer, maps: Sequence[AffineMap]) -> AffineMap | None:
    """The map of all templates and the projection in front of them."""
    ends = np.cumsum([found.linear.rows if layer.kind == "copies" else found.linear.columns for found in maps])
    total, rows, columns = None, maps[0].linear.rows, maps[0].linear.columns
    count = len(maps)
    sizes = {"copies": (count * rows, columns), "splits": (rows, count * columns)}.get(layer.kind, (rows, columns))
    for found, end in zip(maps, ends, strict=True):
        move = (end - rows, 0) if layer.kind == "copies" else (0, end - columns) if layer.kind == "splits" else (0, 0)
        moved = found.linear.placed(*sizes, *move)
        total = moved if total is None else total + moved
    assert total is not None
    bias = np.concatenate([m.bias for m in maps]) if layer.kind == "copies" else np.sum([m.bias for m in maps], axis=0)
    if layer.projection is None:
        return AffineMap(total, bias)
    weight = layer.projection.weight
    assert isinstance(weight, torch.Tensor)
    matrix = weight.detach().cpu().double().flatten(1).numpy()
    composed = total.after(ConvMap.dense(matrix))
    return None if composed is None else AffineMap(composed, bias)


def _price(layer: AdaptedLayer, origin: Origin, with_resize: bool) -> float:
    """What an adapter costs without the parts of its templates that are not linear."""
    positions, inputs = prod(origin.size), origin.channels * (len(layer.templates) if layer.kind == "splits" else 1)
    price = sum(linear_price(template) for template in layer.templates)
    elements = origin.channels * (len(layer.templates) if layer.kind == "copies" else len(layer.templates) - 1)
    elements = 0 if len(layer.templates) == 1 else elements
    if layer.projection is not None:
        weight = layer.projection.weight
        assert isinstance(weight, torch.Tensor)
        price += price_of_map(ConvMap.dense(np.ones((weight.shape[0], weight.shape[1]))), positions)
        inputs = weight.shape[1]
    elements += origin.channels * (layer.bias is not None) + inputs * with_resize
    return price + PASS * elements * positions


def _stride(resize: Resize | None) -> tuple[int, ...] | None:
    """The stride of a convolution that reads what a Resize would; None without one, or where it does more than step."""
    if resize is None or resize.average or any(resize.starts):
        return None
    if any(axis.left + axis.right != axis.extent for axis in resize.axes):
        return None
    return resize.strides


def _check(layer: AdaptedLayer, exact: nn.Module, channels: int, origin: Origin) -> None:
    """Raises KasError unless an adapter and its convolution are the same function in float64, at even and odd sizes."""
    sizes = [origin.size]
    if layer.resize is not None:
        axes = list(zip(layer.resize.axes, origin.size, strict=True))
        least = [(n - 1) * axis.stride + 1 + axis.extent - axis.left - axis.right for axis, n in axes]
        sizes = [tuple(n + more * (axis.stride - 1) for n, (axis, _) in zip(least, axes, strict=True)) for more in (0, 1)]
    for size in sizes:
        x = torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(0))
        _refuse(exact_difference(layer, exact, (x,), {}), f"an adapter ({layer.kind})")


def _refuse(wrong: float, what: str) -> None:
    if wrong > EXACT:
        raise KasError(f"fuse: {what} changes by {wrong:.1e} of its largest output when it is fused; please report it")
