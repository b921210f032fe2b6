"""References of the known kernels that factorise a convolution, or start from their input (kas.zoo.factorised, .residuals)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reference import Reference, conv, depthwise
from torch import nn


class Stacked3x3(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv(c, x0, 3), nn.ReLU(), conv(x0, c, 3))

    def forward(self, x):
        return self.layers(x)


class MlpConv(Reference):
    def build(self, c, g, x0, x1):
        self.layers = nn.Sequential(conv(c, x0, 5), nn.ReLU(), conv(x0, x1), nn.ReLU(), conv(x1, c))

    def forward(self, x):
        return self.layers(x)


class FilterDecomposition(Reference):
    def build(self, c, g, x0):
        self.filters, self.recombination = conv(c, x0, 3), conv(x0, c)

    def forward(self, x):
        return self.recombination(self.filters(x))


class Tucker(Reference):
    """Tucker-2: the factors of the input and output channels around the core."""

    def build(self, c, g, x0, x1):
        self.layers = nn.Sequential(conv(c, x0), conv(x0, x1, 3), conv(x1, c))

    def forward(self, x):
        return self.layers(x)


class CanonicalPolyadic(Reference):
    """One factor for each of the four modes of the weight: input channels, rows, columns, output channels."""

    def build(self, c, g, x0):
        self.inputs, self.outputs = conv(c, x0), conv(x0, c)
        self.vertical, self.horizontal = depthwise(x0, (3, 1)), depthwise(x0, (1, 3))

    def forward(self, x):
        return self.outputs(self.horizontal(self.vertical(self.inputs(x))))

    def mapped(self):
        return [layer.weight for layer in (self.inputs, self.vertical, self.horizontal, self.outputs)]


class DeepRoots(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv(c, g * x0, 3, groups=g), conv(g * x0, c))

    def forward(self, x):
        return self.layers(x)


class AtrousSeparable(Reference):
    def build(self, c, g):
        self.depthwise = nn.Conv2d(c, c, 3, padding=2, dilation=2, groups=c, bias=False)
        self.pointwise = conv(c, c)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class NasNetSeparable(Reference):
    def build(self, c, g):
        self.layers = nn.Sequential(nn.ReLU(), depthwise(c, 5), conv(c, c))

    def forward(self, x):
        return self.layers(x)


class DartsDilated(Reference):
    """`DilConv` of the paper's operations: kernel 5, dilation 2, padding 4."""

    def build(self, c, g):
        dilated = nn.Conv2d(c, c, 5, padding=4, dilation=2, groups=c, bias=False)
        self.layers = nn.Sequential(nn.ReLU(), dilated, conv(c, c))

    def forward(self, x):
        return self.layers(x)


class ErfNet(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(conv(c, x0, (3, 1)), nn.ReLU(), conv(x0, c, (1, 3)))

    def forward(self, x):
        return self.layers(x)


class AcNet(Reference):
    def build(self, c, g):
        self.square, self.vertical, self.horizontal = conv(c, c, 3), conv(c, c, (3, 1)), conv(c, c, (1, 3))

    def forward(self, x):
        return self.square(x) + self.vertical(x) + self.horizontal(x)


class GlobalConvolution(Reference):
    def build(self, c, g, x0):
        self.left = nn.Sequential(conv(c, x0, (7, 1)), conv(x0, c, (1, 7)))
        self.right = nn.Sequential(conv(c, x0, (1, 7)), conv(x0, c, (7, 1)))

    def forward(self, x):
        return self.left(x) + self.right(x)


class BasicBlock(Reference):
    def build(self, c, g):
        self.first, self.second = conv(c, c, 3), conv(c, c, 3)

    def forward(self, x):
        return x + self.second(F.relu(self.first(x)))


class Preactivated(Reference):
    def build(self, c, g):
        self.conv = conv(c, c, 3)

    def forward(self, x):
        return self.conv(F.relu(x))


class Dirac(Reference):
    """The weight plus the identity of a convolution, as the paper has it, in one convolution."""

    def build(self, c, g):
        self.weight = nn.Parameter(torch.empty(c, c, 3, 3))

    def forward(self, x):
        identity = nn.init.dirac_(torch.empty_like(self.weight))
        return F.conv2d(x, self.weight + identity, padding=1)


class ConditionalPosition(Reference):
    def build(self, c, g):
        self.encoding = depthwise(c, 3)

    def forward(self, x):
        return x + self.encoding(x)


class FunnelActivation(Reference):
    def build(self, c, g):
        self.condition = depthwise(c, 3)

    def forward(self, x):
        return torch.maximum(x, self.condition(x))


class DeepSets(Reference):
    """A map of each position plus a map of the mean over all."""

    def build(self, c, g):
        self.context, self.local = conv(c, c), conv(c, c)

    def forward(self, x):
        return self.local(x) + self.context(F.adaptive_avg_pool2d(x, 1))


REFERENCES = {
    "stacked3x3": Stacked3x3,
    "mlpconv": MlpConv,
    "filter_decomposition": FilterDecomposition,
    "tucker_decomposition": Tucker,
    "cp_decomposition": CanonicalPolyadic,
    "deep_roots": DeepRoots,
    "atrous_separable": AtrousSeparable,
    "nasnet_separable5x5": NasNetSeparable,
    "darts_dilated5x5": DartsDilated,
    "erfnet_factorised": ErfNet,
    "acnet": AcNet,
    "global_convolution": GlobalConvolution,
    "basic_block": BasicBlock,
    "preactivated3x3": Preactivated,
    "dirac3x3": Dirac,
    "conditional_position": ConditionalPosition,
    "frelu": FunnelActivation,
    "deep_sets": DeepSets,
}
