"""Whatever the user's own loss and metric, or LightningModule, make of outputs and targets."""

from __future__ import annotations

from torch import Tensor

from kas.evaluation._lightning import pl
from kas.evaluation.metrics import Measure
from kas.evaluation.tasks._base import Task
from kas.language.errors import KasError

__all__ = ["Custom", "OwnModule", "trains_itself"]


class Custom(Task):
    """Outputs and targets as they are, in a loss and a metric that the study file names."""

    name = "custom"
    default_loss = default_metric = family = ""
    wants = "whatever the loss takes"

    @classmethod
    def fits(cls, output: Tensor, targets: Tensor) -> bool:
        return False  # never guessed

    def for_loss(self, targets: Tensor, output: Tensor) -> Tensor:
        return targets

    def for_metric(self, targets: Tensor) -> Tensor:
        return targets

    def constant(self, targets: Tensor) -> Tensor:
        raise KasError("a custom task has no constant answer")


class OwnModule(Custom):
    """A LightningModule trains itself: its own steps and optimizers run, and `training.metric` is the name of what it logs."""

    def measure(self) -> Measure:
        metric, direction = self.settings.metric, self.settings.direction
        if metric is None or direction is None:
            raise KasError(
                "a LightningModule needs training.metric, the name that its validation_step logs (as in "
                "self.log('val_acc', ...)), and training.direction: maximize or minimize"
            )
        return Measure(None, metric, direction, False)


def trains_itself(model: object) -> bool:
    """Whether a network is a LightningModule with a training of its own."""
    return isinstance(model, pl.LightningModule) and type(model).training_step is not pl.LightningModule.training_step
