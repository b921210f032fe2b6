"""Small networks and stand-in templates for the replacement tests."""

import torch
from torch import nn

CONVOLUTIONS = {2: nn.Conv2d, 1: nn.Conv1d}


def same_template(target):
    """A stand-in for a kernel: a 3-wide convolution (or a linear layer) at the target's channels, any size."""
    if target.rank == 0:
        return nn.Linear(target.channels, target.channels, bias=False)
    return CONVOLUTIONS[target.rank](target.channels, target.channels, 3, padding=1, bias=False)


def identity_template(target):
    return nn.Identity()


class Residual(nn.Module):
    """1-D network: a stem, a block with a stride and a skip, a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(2, 8, 7, padding=3)
        self.norm = nn.BatchNorm1d(8)
        self.conv1 = nn.Conv1d(8, 16, 5, stride=3, padding=2)
        self.conv2 = nn.Conv1d(16, 16, 3, padding="same", bias=False)
        self.skip = nn.Conv1d(8, 16, 1, stride=3)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        return self.head((self.conv2(torch.relu(self.conv1(x))) + self.skip(x)).mean(-1))


class Block(nn.Module):
    """`[N, 8, h, w]` to `[N, 16, ceil(h/2), ceil(w/2)]`, beside a shortcut."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.shortcut = nn.Conv2d(8, 16, 1, stride=2)

    def forward(self, x):
        return torch.relu(self.conv2(torch.relu(self.norm(self.conv1(x)))) + self.shortcut(x))


class ResidualImages(nn.Module):
    """2-D network of `[N, 3, h, w]`: a stem, a convolution, a block with a stride, a head of five classes."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.block = Block()
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(torch.relu(self.stem(x)))))
        return self.head(self.block(x).mean((2, 3)))


def mlp():
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10))
