"""The LightningModule of every task: a network, its loss, its metric, its optimizer and its schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from kas.evaluation._lightning import pl
from kas.evaluation.inputs import call, fitted
from kas.evaluation.settings import TrainingSettings
from kas.evaluation.tasks import Task

__all__ = ["Learner"]


class Learner(pl.LightningModule):
    """Trains what can be trained of `model` in a task, and scores it.

    `train_loss` and `val_loss` are means over the samples of the last epoch, `score()` is the metric over all of the
    validation data.
    """

    def __init__(self, model: nn.Module, settings: TrainingSettings, task: Task) -> None:
        super().__init__()
        self.model, self.settings, self.task = model, settings, task
        self.loss = task.loss()
        metric = task.measure().metric
        assert metric is not None, "a module that trains itself needs no learner"
        self.metric = metric
        self._sums: dict[str, list[Tensor | int]] = {}

    def forward(self, inputs: Any) -> Tensor:
        return self.task.output(call(self.model, fitted(inputs, self.model)))

    def training_step(self, batch: Any, index: int) -> Tensor | None:
        inputs, targets, _ = self.task.batches.split(batch)
        output = self(inputs)
        loss: Tensor = self.loss(output, self.task.for_loss(targets, output))
        self._add("train", loss.detach(), len(targets))
        return loss if loss.requires_grad else None

    def validation_step(self, batch: Any, index: int) -> None:
        inputs, targets, _ = self.task.batches.split(batch)
        output = self(inputs)
        self._add("val", self.loss(output, self.task.for_loss(targets, output)), len(targets))
        self.metric.update(self.task.predictions(output), self.task.for_metric(targets))

    def test_step(self, batch: Any, index: int) -> None:
        self.validation_step(batch, index)

    def on_fit_start(self) -> None:
        self.loss.float()  # weights of classes meet an output in float32, whatever the precision is

    on_test_start = on_fit_start

    def on_train_epoch_start(self) -> None:
        self._sums = {}
        self.metric.reset()

    def on_test_epoch_start(self) -> None:
        self.on_train_epoch_start()

    @property
    def train_loss(self) -> float:
        return self._mean("train")

    @property
    def val_loss(self) -> float:
        return self._mean("val")

    def score(self) -> float:
        """The metric over the validation (or test) data seen in this epoch."""
        return float(self.metric.compute())

    def configure_optimizers(self) -> Any:
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            return None  # a frozen original is only validated
        optimizer = self._optimizer()
        total = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, _warm_cosine(total, self.settings.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if settings.optimizer == "sgd":
            nesterov = settings.momentum > 0
            return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov)
        smallest = max(torch.finfo(parameter.dtype).tiny for parameter in trained)
        return torch.optim.AdamW(groups, lr=settings.lr, eps=max(1e-8, smallest))  # in half precision 1e-8 is 0: 0 / 0

    def _add(self, stage: str, loss: Tensor, count: int) -> None:
        total, samples = self._sums.get(stage, [torch.zeros((), device=loss.device), 0])
        self._sums[stage] = [total + loss.float() * count, samples + count]

    def _mean(self, stage: str) -> float:
        total, samples = self._sums.get(stage, [math.nan, 1])
        return float(total) / int(samples)


def _warm_cosine(total: int, warmup: float) -> Any:
    """The factor of the learning rate at a step: a line up to 1, then a cosine down to 0."""
    warm = max(1, round(total * warmup))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        progress = min(1.0, (step - warm) / max(1, total - warm))
        return 0.5 * (1 + math.cos(math.pi * progress))

    return factor
