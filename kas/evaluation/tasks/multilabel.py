"""Several labels, each of which a sample (or a position) has or has not."""

from __future__ import annotations

import torch
from torch import Tensor

from kas.evaluation.tasks._base import Task, only_0_and_1, share
from kas.language.errors import KasError

__all__ = ["MultiLabel"]


class MultiLabel(Task):
    """Outputs are logits [N, labels, ...]; targets are 0 or 1 [N, labels, ...] ([N, ...] where there is one label)."""

    name = "multilabel"
    default_loss, default_metric = "BCEWithLogitsLoss", "F1Score"
    wants = "0 and 1 in the output's shape [N, labels]"
    _units = "labels"

    @property
    def family(self) -> str:
        return "Binary" if self.width == 1 else "Multilabel"

    @classmethod
    def fits(cls, output: Tensor, targets: Tensor) -> bool:
        return _shaped(targets, output).shape == output.shape and only_0_and_1(targets)

    def for_loss(self, targets: Tensor, output: Tensor) -> Tensor:
        return _shaped(targets, output).float()

    def for_metric(self, targets: Tensor) -> Tensor:
        return targets.long().flatten() if self.width == 1 else targets.long()

    def predictions(self, output: Tensor) -> Tensor:
        return output.sigmoid().flatten() if self.width == 1 else output.sigmoid()

    def constant(self, targets: Tensor) -> Tensor:
        if self.width == 1:
            return targets.float().mean().reshape(1)
        axes = [axis for axis in range(targets.ndim) if axis != 1]
        return targets.float().mean(axes, keepdim=True)

    def check(self, output: Tensor, targets: Tensor) -> None:
        super().check(output, targets)
        if _shaped(targets, output).shape != output.shape or not only_0_and_1(targets):
            raise KasError(
                f"targets {list(targets.shape)} do not fit an output {list(output.shape)} in task multilabel: {self.wants}"
            )

    def describe(self, targets: Tensor) -> str:
        rates = targets.float().mean(0) if self.width == 1 else targets.float().transpose(0, 1).flatten(1).mean(1)
        count = f"{self.width} label{'' if self.width == 1 else 's'}"
        return f"{count}, each in {share(rates.min(), 1)} to {share(rates.max(), 1)} of the samples"

    def _balance(self, targets: Tensor) -> Tensor:
        """Negatives over positives of each label; 1 for a label that no sample has."""
        present = targets.float().reshape(-1) if self.width == 1 else targets.float().transpose(0, 1).flatten(1)
        positives, total = present.reshape(self.width, -1).sum(1), present.numel() / self.width
        return torch.where(positives > 0, (total - positives) / positives.clamp(min=1), 1.0)

    def _tried(self) -> tuple[Tensor, Tensor]:
        if self.width == 1:
            return torch.tensor([0.2, 0.8]), torch.tensor([0, 1])
        return torch.eye(self.width), torch.eye(self.width).long()


def _shaped(targets: Tensor, output: Tensor) -> Tensor:
    return targets.unsqueeze(1) if output.shape[1:2] == (1,) and targets.ndim == output.ndim - 1 else targets
