"""The LightningModule: a network, its loss, its optimizer and its schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from kas.evaluation._lightning import pl
from kas.evaluation.inputs import fitted
from kas.evaluation.metrics import make_metric
from kas.evaluation.settings import TrainingSettings
from kas.language.errors import KasError

__all__ = ["Classifier", "logits_of"]


class Classifier(pl.LightningModule):
    """Trains what can be trained of `model`, [N, ...] → logits [N, classes], by cross entropy.

    `train_loss` and `val_loss` are means over the samples of the last epoch, `score()` is the metric over all of the
    validation data.
    """

    def __init__(self, model: nn.Module, settings: TrainingSettings, num_classes: int) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.loss = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        self.metric = make_metric(settings.metric, num_classes)
        self._sums: dict[str, list[Tensor | int]] = {}

    def forward(self, inputs: Tensor) -> Tensor:
        return logits_of(self.model(fitted(inputs, self.model)))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor | None:
        inputs, labels = batch
        loss: Tensor = self.loss(self(inputs).float(), labels)
        self._add("train", loss.detach(), len(labels))
        return loss if loss.requires_grad else None

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        inputs, labels = batch
        logits = self(inputs).float()
        self._add("val", nn.functional.cross_entropy(logits, labels), len(labels))
        self.metric.update(logits, labels)

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.validation_step(batch, index)

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
        return torch.optim.AdamW(groups, lr=settings.lr)

    def _add(self, stage: str, loss: Tensor, count: int) -> None:
        total, samples = self._sums.get(stage, [torch.zeros((), device=loss.device), 0])
        self._sums[stage] = [total + loss.float() * count, samples + count]

    def _mean(self, stage: str) -> float:
        total, samples = self._sums.get(stage, [math.nan, 1])
        return float(total) / int(samples)


def logits_of(output: Any) -> Tensor:
    """The logits of a network's output: a tensor, the attribute `logits`, the first of a tuple (others are auxiliary), the
    only tensor of a dictionary, or its key `out` or `logits`. Raises KasError for anything else.
    """
    found = getattr(output, "logits", output)
    if isinstance(found, Mapping):
        tensors = {key: value for key, value in found.items() if isinstance(value, Tensor)}
        keys = [key for key in ("out", "logits") if key in tensors] or (list(tensors) if len(tensors) == 1 else [])
        if not keys:
            raise KasError(
                f"the network returns a dictionary with the tensors {sorted(map(str, tensors))}; expected one, or the key "
                f"'out' or 'logits'"
            )
        found = tensors[keys[0]]
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise KasError(f"the network returns a {type(output).__name__}; expected logits [N, classes]")
    return found


def _warm_cosine(total: int, warmup: float) -> Any:
    """The factor of the learning rate at a step: a line up to 1, then a cosine down to 0."""
    warm = max(1, round(total * warmup))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        progress = min(1.0, (step - warm) / max(1, total - warm))
        return 0.5 * (1 + math.cos(math.pi * progress))

    return factor
