"""Inputs of a network: one tensor [N, ...], a tuple of them (positional arguments), or a dict of them (keyword arguments)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from kas.replacement.example import ExampleInput, arguments, first_tensor

__all__ = ["Shape", "call", "fitted", "head", "moved", "random_inputs", "repeated", "sample_shape", "samples"]

Shape = Any  # of one sample: (C, H, W), or a tuple or dict of such shapes where a network takes several inputs


def call(network: nn.Module, inputs: ExampleInput) -> Any:
    """What the network returns for its inputs."""
    args, kwargs = arguments(inputs)
    return network(*args, **kwargs)


def fitted(inputs: Any, network: nn.Module) -> Any:
    """The inputs in the type of the network's first floating parameter; integers, and the tensors themselves if they fit."""
    weight = next((parameter for parameter in network.parameters() if parameter.is_floating_point()), None)
    if weight is None:
        return inputs
    dtype = weight.dtype

    def fit(tensor: Tensor) -> Tensor:
        autocast = torch.is_autocast_enabled(tensor.device.type)
        return tensor if autocast or not tensor.is_floating_point() else tensor.to(dtype)

    return _map(fit, inputs)


def samples(inputs: ExampleInput) -> int:
    """How many samples inputs have."""
    return len(first_tensor(inputs))


def head(inputs: Any, count: int) -> Any:
    """The first `count` samples."""
    return _map(lambda tensor: tensor[:count], inputs)


def moved(inputs: Any, device: torch.device) -> Any:
    """The inputs on a device."""
    return _map(lambda tensor: tensor.to(device), inputs)


def repeated(inputs: Any, count: int) -> Any:
    """`count` samples: those of the inputs, in turn."""
    return _map(lambda tensor: tensor[torch.arange(count) % len(tensor)], inputs)


def sample_shape(inputs: Any) -> Shape:
    """The shape of one sample.

    >>> sample_shape(torch.zeros(8, 3, 5, 5)), sample_shape({"image": torch.zeros(8, 3), "size": torch.zeros(8, 1)})
    ((3, 5, 5), {'image': (3,), 'size': (1,)})
    """
    if isinstance(inputs, Tensor):
        return tuple(int(size) for size in inputs.shape[1:])
    if isinstance(inputs, dict):
        return {key: sample_shape(value) for key, value in inputs.items()}
    return tuple(sample_shape(value) for value in inputs)


def random_inputs(shape: Shape, count: int, dtype: torch.dtype = torch.float32) -> Any:
    """The same inputs every time: normal ones, or zeros, which are valid as indices, where the type is of whole numbers."""
    if isinstance(shape, dict):
        return {key: random_inputs(value, count, dtype) for key, value in shape.items()}
    if shape and isinstance(shape[0], (tuple, list, dict)):
        return tuple(random_inputs(value, count, dtype) for value in shape)
    if dtype.is_floating_point:
        return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(dtype)
    return torch.zeros(count, *shape, dtype=dtype)


def _map(function: Any, inputs: Any) -> Any:
    return function(inputs) if isinstance(inputs, Tensor) else _pytree.tree_map_only(Tensor, function, inputs)
