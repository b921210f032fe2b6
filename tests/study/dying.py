"""A network and data that do what files beside this module name: hang, end or crash their process, take all memory.

Tests and benchmarks copy this module beside a study file. `slow` and `late` act while the file is there, the others once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

HERE = Path(__file__).parent


def take_all_memory() -> None:
    torch.zeros(10**11)


ONCE: dict[str, Callable[[], Any]] = {
    "hang": lambda: time.sleep(3600),
    "exit": lambda: sys.exit(7),
    "crash": os.abort,
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "greedy": take_all_memory,
}


def once(name: str) -> bool:
    """Whether the file is there, which it then is no more."""
    if not (HERE / name).exists():
        return False
    (HERE / name).rename(HERE / f"{name} done")
    return True


class Network(nn.Module):
    """Two convolutions; images [N, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> Any:
        if self.training:
            while (HERE / "slow").exists():
                time.sleep(0.1)
            if (HERE / "late").exists():
                time.sleep(0.5)
            for name, act in ONCE.items():
                if once(name):
                    act()
        return self.head(self.second(torch.relu(self.first(x))).mean((2, 3)))


def network() -> nn.Module:
    return Network()


class Digits(pl.LightningDataModule):
    """Digits, 100 to train and 50 to validate, whose loader waits for ever at the file `stuck`."""

    num_classes = 10

    def __init__(self) -> None:
        super().__init__()
        images, labels = load_digits(return_X_y=True)
        self._all = TensorDataset(torch.tensor(images).float().reshape(-1, 1, 8, 8) / 16, torch.tensor(labels))

    def train_dataloader(self) -> Any:
        return DataLoader(Subset(self._all, range(100)), 50, shuffle=True, collate_fn=_collate)

    def val_dataloader(self) -> Any:
        return DataLoader(Subset(self._all, range(100, 150)), 50)


def _collate(samples: Any) -> Any:
    if once("stuck"):
        time.sleep(3600)
    return torch.utils.data.default_collate(samples)


def digits() -> pl.LightningDataModule:
    return Digits()


def leaves() -> nn.Module:
    sys.exit(7)
