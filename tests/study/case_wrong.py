"""Networks that are wrong, each in its own way: factories that a study file names. All take digits, [N, 1, 8, 8]."""

from __future__ import annotations

import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn


def plain(classes: int = 10) -> nn.Sequential:
    body = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))


def scripted() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        return torch.jit.script(plain())


def meta() -> nn.Module:
    with torch.device("meta"):
        return plain()


def quantised() -> nn.Module:
    from torch.ao.nn.qat import Conv2d
    from torch.ao.quantization import get_default_qat_qconfig

    model = plain()
    model[2] = Conv2d(8, 8, 3, padding=1, qconfig=get_default_qat_qconfig())
    return model


def complex_weights() -> nn.Module:
    model = plain()
    model[2] = nn.Conv2d(8, 8, 3, padding=1, dtype=torch.complex64)
    return model


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = plain()


class Raises(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)[:, self.classes]  # type: ignore[no-any-return]


class Detached(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).detach()  # type: ignore[no-any-return]


class Infinite(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) / 0  # type: ignore[no-any-return]


class OneNumber(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean()  # type: ignore[no-any-return]


class Text(Wrapped):
    def forward(self, x: Tensor) -> str:
        return str(self.body(x).argmax(1))


class Flat(Wrapped):
    """Mixes up the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).reshape(-1, 5)  # type: ignore[no-any-return]


class OnlyTraining(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) if not self.training else self.body(x).unknown  # type: ignore[no-any-return]


def few_outputs() -> nn.Module:
    return plain(5)


def needs_classes(num_classes: int) -> nn.Module:
    return plain(num_classes)


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm = plain(), nn.BatchNorm1d(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.body(x))  # type: ignore[no-any-return]


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body = plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, index: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


def each() -> nn.Module:
    """A loss for each sample."""
    return nn.CrossEntropyLoss(reduction="none")
