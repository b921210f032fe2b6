"""One class of several at each position."""

from __future__ import annotations

import torch
from torch import Tensor

from kas.evaluation.tasks._base import squeezed, whole
from kas.evaluation.tasks.classification import Classification
from kas.language.errors import KasError

__all__ = ["Segmentation"]


class Segmentation(Classification):
    """Outputs are logits [N, classes, H, W] (or [N, classes, L]); targets are masks of classes [N, H, W] (or [N, 1, H, W])."""

    name = "segmentation"
    default_metric = "JaccardIndex"
    wants = "masks of classes [N, H, W] from 0, of the output's size"

    @classmethod
    def fits(cls, output: Tensor, targets: Tensor) -> bool:
        if output.ndim < 3 or output.shape[1] < 2:
            return False
        return whole(targets) and squeezed(targets, output.ndim - 1).ndim == output.ndim - 1

    def for_metric(self, targets: Tensor) -> Tensor:
        return (targets.squeeze(1) if targets.ndim > 2 and targets.shape[1] == 1 else targets).long()

    def constant(self, targets: Tensor) -> Tensor:
        return super().constant(targets).reshape(1, -1, *(1 for _ in targets.shape[1:]))

    def check(self, output: Tensor, targets: Tensor) -> None:
        masks = squeezed(targets, output.ndim - 1)
        if masks.ndim == output.ndim - 1 and masks.shape[1:] != output.shape[2:]:
            raise KasError(
                f"masks are {_size(masks.shape[1:])}, but the network returns {_size(output.shape[2:])}: "
                f"resize the masks in the data set, or the output in the network"
            )
        super().check(output, targets)

    def _tried(self) -> tuple[Tensor, Tensor]:
        return torch.eye(self.width)[:, :, None], torch.arange(self.width)[:, None]


def _size(shape: torch.Size) -> str:
    return "x".join(map(str, shape))
