"""References of the known kernels for sequences and vectors (kas.zoo.sequences)."""

from __future__ import annotations

import torch.nn.functional as F
from reference import Reference, linear, shuffle
from torch import nn


def conv1d(inputs: int, outputs: int, k: int = 1, groups: int = 1) -> nn.Conv1d:
    """A 1-D convolution of the same length, without bias."""
    return nn.Conv1d(inputs, outputs, k, padding="same", groups=groups, bias=False)


class Conv1d3(Reference):
    def build(self, c, g):
        self.conv = conv1d(c, c, 3)

    def forward(self, x):
        return self.conv(x)


class DepthwiseSeparable1d(Reference):
    def build(self, c, g):
        self.layers = nn.Sequential(conv1d(c, c, 3, c), nn.ReLU(), conv1d(c, c))

    def forward(self, x):
        return self.layers(x)


class Grouped1d3(Reference):
    def build(self, c, g):
        self.conv = conv1d(c, c, 3, g)

    def forward(self, x):
        return self.conv(x)


class Bottleneck1d(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv1d(c, x0), nn.ReLU(), conv1d(x0, x0, 3), nn.ReLU(), conv1d(x0, c))

    def forward(self, x):
        return self.layers(x)


class Linear(Reference):
    def build(self, c, g):
        self.layer = linear(c, c)

    def forward(self, x):
        return self.layer(x)


class LowRankLinear(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(linear(c, x0), linear(x0, c))

    def forward(self, x):
        return self.layers(x)


class GroupedLinear(Reference):
    """Block-diagonal linear layers, as grouped convolutions of one position."""

    def build(self, c, g, x0):
        self.enter, self.leave = conv1d(c, g * x0, 1, g), conv1d(g * x0, c, 1, g)

    def forward(self, x):
        return self.leave(shuffle(F.relu(self.enter(x[:, :, None])), self.groups)).squeeze(2)


REFERENCES = {
    "conv1d3": Conv1d3,
    "depthwise_separable1d": DepthwiseSeparable1d,
    "grouped1d3": Grouped1d3,
    "bottleneck1d": Bottleneck1d,
    "linear": Linear,
    "low_rank_linear": LowRankLinear,
    "grouped_linear": GroupedLinear,
}
