"""What stands in a layer's place: it answers the questions that networks ask their layers, as the layer did."""

from __future__ import annotations

from math import nan
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["StandIn"]


class StandIn(nn.Module):
    """The base of what takes the place of a layer.

    After `stand_for(layer)` it has the layer's plain attributes (`in_channels`, `kernel_size`, `stride`, `padding`, …,
    also those that a network has put there), and a `weight` with the dtype, the device and the shape of the layer's. That
    weight is there to be asked, not to be computed with: its values are nan, it is no parameter and in no state dict.
    """

    _weight: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_weight", None, persistent=False)  # a buffer: it moves with the network

    def stand_for(self, layer: nn.Module) -> None:
        """Answer as `layer` from now on. What the stand-in has itself stays."""
        for name, value in vars(layer).items():
            if not hasattr(self, name) and _is_plain(value):
                setattr(self, name, value)
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor):
            self._weight_shape = tuple(weight.shape)
            self._weight = torch.full((), nan, dtype=weight.dtype, device=weight.device)

    @property
    def weight(self) -> Tensor:
        """A tensor of the shape of the layer's weight, without memory of its own. AttributeError if that had none."""
        if self._weight is None:
            raise AttributeError("weight")
        return self._weight.expand(self._weight_shape)


def _is_plain(value: Any) -> bool:
    """Whether a value is data: nothing that belongs to the original network hangs on it."""
    if isinstance(value, (tuple, list)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))
