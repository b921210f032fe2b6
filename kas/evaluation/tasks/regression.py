"""Numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from kas.evaluation.tasks._base import Task, finite, range_of
from kas.language.errors import KasError

__all__ = ["Regression"]


class Regression(Task):
    """Outputs and targets are numbers of one shape, [N, numbers] or [N, C, H, W]; [N] and [N, 1] are the same."""

    name = "regression"
    default_loss, default_metric, family = "MSELoss", "MeanSquaredError", ""
    wants = "numbers in the output's shape"
    _units = "numbers"

    @classmethod
    def fits(cls, output: Tensor, targets: Tensor) -> bool:
        return targets.is_floating_point() and _flat(targets).shape == _flat(output).shape

    def for_loss(self, targets: Tensor, output: Tensor) -> Tensor:
        return targets.float().reshape(output.shape)

    def for_metric(self, targets: Tensor) -> Tensor:
        return _flat(targets).float()

    def predictions(self, output: Tensor) -> Tensor:
        return _flat(output)

    def constant(self, targets: Tensor) -> Tensor:
        return targets.mean(0, keepdim=True)

    def check(self, output: Tensor, targets: Tensor) -> None:
        super().check(output, targets)
        finite(targets)
        if _flat(targets).shape != _flat(output).shape:
            raise KasError(
                f"targets {list(targets.shape)} do not fit an output {list(output.shape)} in task regression: {self.wants} are "
                f"expected"
            )

    def describe(self, targets: Tensor) -> str:
        spread = float(targets.std(0).mean()) if len(targets) > 1 else 0.0
        return f"numbers from {range_of(targets)}, standard deviation {spread:.4g}"

    def _tried(self) -> tuple[Tensor, Tensor]:
        shape = (8, self.width) if self.width > 1 else (8,)
        generator = torch.Generator().manual_seed(0)
        targets = torch.rand(shape, generator=generator) + 0.5
        return targets + 0.1 * torch.rand(shape, generator=generator), targets


def _flat(values: Tensor) -> Tensor:
    """[N, 1] as [N]."""
    return values.squeeze(1) if values.ndim == 2 and values.shape[1] == 1 else values
