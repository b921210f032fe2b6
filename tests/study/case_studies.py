"""Networks that break a study, and data for them: factories that a study file names."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 3


class Data(pl.LightningDataModule):
    """Images [N, 3, 8, 8] in float32, brighter in one channel, which is the class."""

    num_classes, input_shape = CLASSES, (3, 8, 8)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        labels = torch.arange(48) % CLASSES
        images = torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        images[torch.arange(48), labels] += 1
        return DataLoader(TensorDataset(images, labels), 16)

    val_dataloader = train_dataloader


def conv(c_in: int, c_out: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1)


def plain() -> nn.Sequential:
    body = (conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 8), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))


def half() -> nn.Module:
    return plain().bfloat16()


def double() -> nn.Module:
    return plain().double()


def frozen() -> nn.Module:
    return plain().requires_grad_(False)


def lazy() -> nn.Module:
    model = plain()
    model[3], model[8] = nn.LazyConv2d(8, 3, padding=1), nn.LazyLinear(CLASSES)
    return model


def cyclic() -> nn.Module:
    model = plain()
    model[3] = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular")
    return model


class Wrapped(nn.Module):
    """A network around the plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain()


class Dictionary(Wrapped):
    """Returns several things under keys."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.keys = keys

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict.fromkeys(self.keys, self.body(x))


class InPlace(Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.mul_(2).sub_(0.5))  # type: ignore[no-any-return]


class KeepsActivation(Wrapped):
    """Harmless in a study: the original is never run before it is copied."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.body[:6](x)
        return self.body[6:](self.seen)  # type: ignore[no-any-return]


class WalksByType(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList([conv(3, 8), conv(8, 8)]), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu() if isinstance(layer, nn.Conv2d) else x
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def dictionary(keys: tuple[str, ...] = ("out",)) -> nn.Module:
    return Dictionary(tuple(keys))


in_place, keeps_activation, walks_by_type = InPlace, KeepsActivation, WalksByType
