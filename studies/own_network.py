"""A network and data of one's own, for own_network.yaml: which way do the stripes run?"""

from __future__ import annotations

import math
from collections import OrderedDict

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

DIRECTIONS = 6


def network(num_classes: int, width: int = 16) -> nn.Module:
    """[N, 1, H, W] -> [N, num_classes]. Load trained weights here if you have them."""
    parts = {
        "stem": nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
        "body": Body(width),
        "head": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, num_classes)),
    }
    return nn.Sequential(OrderedDict(parts))


class Body(nn.Module):
    """[N, width, H, W] -> [N, 2 width, H/2, W/2]: the convolutions that the study replaces."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(2 * width)])

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.norms[0](self.first(images)))
        return torch.relu(self.norms[1](self.second(hidden)))


class Stripes(pl.LightningDataModule):
    """Noisy stripes, 24x24 pixels, in one of six directions."""

    def __init__(self, samples: int = 1200, noise: float = 2.0, batch_size: int = 64) -> None:
        super().__init__()
        self.num_classes = DIRECTIONS
        self.input_shape = (1, 24, 24)
        self.samples, self.noise, self.batch_size = samples, noise, batch_size

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self._images(self.samples, seed=1), self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self._images(self.samples // 4, seed=2), self.batch_size)

    def _images(self, count: int, seed: int) -> TensorDataset:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(DIRECTIONS, (count,), generator=generator)
        angle = (math.pi / DIRECTIONS * labels).view(-1, 1, 1)
        rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
        phase = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
        stripes = torch.sin(rows * angle.cos() + columns * angle.sin() + phase)
        noise = self.noise * torch.randn(stripes.shape, generator=generator)
        return TensorDataset((stripes + noise).unsqueeze(1), labels)


def data(samples: int = 1200, noise: float = 2.0) -> Stripes:
    """The data of the study; the arguments come from data.factory_args."""
    return Stripes(samples, noise)
