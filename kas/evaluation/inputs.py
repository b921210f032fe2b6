"""Inputs as a network takes them: in the floating type of its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["fitted"]


def fitted(inputs: Tensor, network: nn.Module) -> Tensor:
    """The inputs in the type of the network's first floating parameter; integers, and the tensor itself if it fits."""
    weight = next((parameter for parameter in network.parameters() if parameter.is_floating_point()), None)
    autocast = torch.is_autocast_enabled(inputs.device.type)
    if weight is None or not inputs.is_floating_point() or autocast:
        return inputs
    return inputs.to(weight.dtype)
