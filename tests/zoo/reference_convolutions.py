"""References of the known kernels that are convolutions and their factorisations (kas.zoo.convolutions)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reference import Reference, conv, depthwise, shuffle
from torch import nn


class Conv3x3(Reference):
    def build(self, c, g):
        self.conv = conv(c, c, 3)

    def forward(self, x):
        return self.conv(x)


class Conv1x1(Reference):
    def build(self, c, g):
        self.conv = conv(c, c)

    def forward(self, x):
        return self.conv(x)


class Grouped3x3(Reference):
    def build(self, c, g):
        self.conv = conv(c, c, 3, groups=g)

    def forward(self, x):
        return self.conv(x)


class Depthwise3x3(Reference):
    def build(self, c, g):
        self.conv = depthwise(c, 3)

    def forward(self, x):
        return self.conv(x)


class DepthwiseSeparable(Reference):
    def build(self, c, g):
        self.layers = nn.Sequential(depthwise(c, 3), nn.ReLU(), conv(c, c))

    def forward(self, x):
        return self.layers(x)


class XceptionSeparable(Reference):
    def build(self, c, g):
        self.depthwise, self.pointwise = depthwise(c, 3), conv(c, c)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class BlueprintSeparable(Reference):
    def build(self, c, g):
        self.pointwise, self.depthwise = conv(c, c), depthwise(c, 3)

    def forward(self, x):
        return self.depthwise(self.pointwise(x))


class Dilated3x3(Reference):
    def build(self, c, g):
        self.conv = nn.Conv2d(c, c, 3, padding=2, dilation=2, bias=False)

    def forward(self, x):
        return self.conv(x)


class LowRank3x3(Reference):
    def build(self, c, g, x0):
        self.vertical, self.horizontal = conv(c, x0, (3, 1)), conv(x0, c, (1, 3))

    def forward(self, x):
        return self.horizontal(self.vertical(x))


class Inception1x7(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv(c, x0, (1, 7)), nn.ReLU(), conv(x0, c, (7, 1)))

    def forward(self, x):
        return self.layers(x)


class InceptionPool(Reference):
    """The language pads with zeros; the paper's pooling reads activations after a ReLU, where that is no difference."""

    def build(self, c, g):
        self.projection = conv(c, c)

    def forward(self, x):
        return self.projection(F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, stride=1))


class GroupedShuffle(Reference):
    def build(self, c, g):
        self.conv = conv(c, c, groups=g)

    def forward(self, x):
        return shuffle(self.conv(x), self.groups)


class Maxout(Reference):
    def build(self, c, g):
        self.pieces = nn.ModuleList([conv(c, c), conv(c, c)])

    def forward(self, x):
        return torch.stack([piece(x) for piece in self.pieces]).amax(0)


class RepVGG(Reference):
    def build(self, c, g):
        self.dense, self.pointwise = conv(c, c, 3), conv(c, c)

    def forward(self, x):
        return self.dense(x) + self.pointwise(x) + x


class Shift1x1(Reference):
    def build(self, c, g, x0):
        self.expand, self.project, self.depthwise = conv(c, x0), conv(x0, c), depthwise(c, 3)

    def forward(self, x):
        shifted = torch.roll(F.relu(self.expand(x)), (1, 1), (2, 3))
        return self.project(shifted) + self.depthwise(x)


REFERENCES = {
    "conv3x3": Conv3x3,
    "conv1x1": Conv1x1,
    "grouped3x3": Grouped3x3,
    "depthwise3x3": Depthwise3x3,
    "depthwise_separable": DepthwiseSeparable,
    "xception_separable": XceptionSeparable,
    "blueprint_separable": BlueprintSeparable,
    "dilated3x3": Dilated3x3,
    "low_rank3x3": LowRank3x3,
    "inception_1x7_7x1": Inception1x7,
    "inception_pool": InceptionPool,
    "grouped1x1_shuffle": GroupedShuffle,
    "maxout": Maxout,
    "repvgg": RepVGG,
    "shift1x1": Shift1x1,
}
