"""One class of several for each sample."""

from __future__ import annotations

import torch
from torch import Tensor

from kas.evaluation.tasks._base import Task, finite, share, squeezed, whole
from kas.language.errors import KasError

__all__ = ["Classification"]


class Classification(Task):
    """Outputs are logits [N, classes]; targets are labels [N] (or [N, 1]) from 0, or one-hot (or soft) [N, classes]."""

    name = "classification"
    default_loss, default_metric, family = "CrossEntropyLoss", "accuracy", "Multiclass"
    wants = "labels [N] from 0, or one-hot [N, classes]"

    @classmethod
    def fits(cls, output: Tensor, targets: Tensor) -> bool:
        if output.ndim != 2 or output.shape[1] < 2:
            return False
        return _are_shares(output, targets) or (squeezed(targets, 1).ndim == 1 and whole(targets))

    def for_loss(self, targets: Tensor, output: Tensor) -> Tensor:
        if targets.shape == output.shape:
            return targets.float()
        return squeezed(targets, output.ndim - 1).long()

    def for_metric(self, targets: Tensor) -> Tensor:
        return targets.argmax(1) if targets.shape[1:] == (self.width,) else squeezed(targets, 1).long()

    def constant(self, targets: Tensor) -> Tensor:
        counts = self._counts(targets)
        return (counts / counts.sum().clamp(min=1)).reshape(1, -1)

    def check(self, output: Tensor, targets: Tensor) -> None:
        super().check(output, targets)
        finite(targets)
        if targets.shape == output.shape:
            if not _are_shares(output, targets):
                raise KasError(f"targets {list(targets.shape)} are neither labels nor one-hot: each row must add up to 1")
            return
        labels = squeezed(targets, output.ndim - 1)
        if labels.shape != (len(output), *output.shape[2:]) or not whole(labels):
            raise KasError(
                f"targets {list(targets.shape)} {str(targets.dtype).removeprefix('torch.')} do not fit an output "
                f"{list(output.shape)} in task {self.name}: {self.wants} are expected"
            )
        self.check_labels(labels.long())

    def check_labels(self, labels: Tensor) -> None:
        """Raises KasError for labels outside of the classes."""
        seen: Tensor = torch.unique(labels)
        seen = seen[seen != self._ignored]
        outside = seen[(seen < 0) | (seen >= self.width)]
        if not len(outside):
            return
        low, high = int(seen.min()), int(seen.max())
        said = f"labels run from {low} to {high}, but the network has {self.width} outputs, one for each class from 0"
        if low >= 1 and high == self.width:
            raise KasError(f"{said}: labels start at 1; subtract 1 in the data set")
        if len(outside) == 1:
            found = share((labels == outside[0]).sum(), labels.numel())
            raise KasError(
                f"{said}: {found} of them are {int(outside[0])}; if that marks what has no label, set "
                f"training.ignore_index: {int(outside[0])}"
            )
        raise KasError(f"{said}: map the labels in the data set, or give the network {high + 1} outputs (num_classes)")

    def describe(self, targets: Tensor) -> str:
        counts = self._counts(targets)
        seen, total = int((counts > 0).sum()), int(counts.sum())
        said = f"{seen} of {self.width} classes, the largest ({int(counts.argmax())}) has {share(counts.max(), total)}"
        ignored = int((targets == self._ignored).sum())
        return f"{said}; {share(ignored, targets.numel())} ignored" if ignored else said

    def _balance(self, targets: Tensor) -> Tensor:
        """Samples over (classes seen x samples of the class), as scikit-learn's `balanced`; 0 for a class that is not there."""
        counts = self._counts(targets)
        return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)

    @property
    def _ignored(self) -> int:
        return self.settings.ignore_index if self.settings.ignore_index is not None else -100  # CrossEntropyLoss' own

    def _counts(self, targets: Tensor) -> Tensor:
        kept = targets[(targets >= 0) & (targets < self.width) & (targets != self._ignored)]
        return torch.bincount(kept.flatten().long(), minlength=self.width).float()

    def _tried(self) -> tuple[Tensor, Tensor]:
        return torch.eye(self.width), torch.arange(self.width)


def _are_shares(output: Tensor, targets: Tensor) -> bool:
    """Whether targets are shares of the classes: one-hot rows, or any that add up to 1."""
    if targets.shape != output.shape or bool((targets < 0).any()):
        return False
    return bool(((targets.float().sum(1) - 1).abs() < 1e-3).all())
