"""References of the known kernels that are whole blocks (kas.zoo.blocks)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reference import Reference, conv, depthwise, layer_norm, shuffle
from torch import nn


class Bottleneck(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv(c, x0), nn.ReLU(), conv(x0, x0, 3), nn.ReLU(), conv(x0, c))

    def forward(self, x):
        return self.layers(x)


class ResNeXt(Reference):
    def build(self, c, g, x0):
        width = g * x0
        self.layers = nn.Sequential(conv(c, width), nn.ReLU(), conv(width, width, 3, groups=g), nn.ReLU(), conv(width, c))

    def forward(self, x):
        return self.layers(x)


class InvertedResidual(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv(c, x0), nn.ReLU(), depthwise(x0, 3), nn.ReLU(), conv(x0, c))

    def forward(self, x):
        return x + self.layers(x)


class FusedInvertedResidual(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv(c, x0, 3), nn.ReLU(), conv(x0, c))

    def forward(self, x):
        return x + self.layers(x)


class Sandglass(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(depthwise(c, 3), nn.ReLU(), conv(c, x0), conv(x0, c), nn.ReLU(), depthwise(c, 3))

    def forward(self, x):
        return x + self.layers(x)


class ShuffleNetUnit(Reference):
    def build(self, c, g, x0):
        width = g * x0
        self.reduce, self.depthwise, self.expand = conv(c, width, groups=g), depthwise(width, 3), conv(width, c, groups=g)

    def forward(self, x):
        hidden = shuffle(F.relu(self.reduce(x)), self.groups)
        return x + self.expand(self.depthwise(hidden))


class Ghost(Reference):
    def build(self, c, g):
        self.primary, self.cheap = conv(c, c), depthwise(c, 3)

    def forward(self, x):
        primary = F.relu(self.primary(x))
        return primary + self.cheap(primary)


class GhostProjected(Reference):
    def build(self, c, g, x0):
        self.primary, self.cheap, self.project = conv(c, x0), depthwise(x0, 3), conv(2 * x0, c)

    def forward(self, x):
        primary = F.relu(self.primary(x))
        return self.project(torch.cat([primary, F.relu(self.cheap(primary))], 1))

    def mapped(self):
        return [self.primary.weight, self.cheap.weight, *self.project.weight.chunk(2, 1)]


class ConvNeXt(Reference):
    def build(self, c, g, x0):
        self.depthwise, self.expand, self.project = depthwise(c, 7), conv(c, x0), conv(x0, c)

    def forward(self, x):
        return x + self.project(F.gelu(self.expand(layer_norm(self.depthwise(x)))))


class RepLKNet(Reference):
    def build(self, c, g):
        self.first, self.large, self.small, self.last = conv(c, c), depthwise(c, 13), depthwise(c, 5), conv(c, c)

    def forward(self, x):
        hidden = F.relu(self.first(x))
        return x + self.last(F.relu(self.large(hidden) + self.small(hidden)))


REFERENCES = {
    "bottleneck": Bottleneck,
    "resnext": ResNeXt,
    "inverted_residual": InvertedResidual,
    "fused_inverted_residual": FusedInvertedResidual,
    "sandglass": Sandglass,
    "shufflenet_unit": ShuffleNetUnit,
    "ghost": Ghost,
    "ghost_projected": GhostProjected,
    "convnext": ConvNeXt,
    "replknet": RepLKNet,
}
