"""References of the known kernels that weigh channels or positions (kas.zoo.recalibration)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reference import EPS, Reference, conv, depthwise, linear
from torch import nn


class SqueezeExcitation(nn.Module):
    """`x * sigmoid(W2 relu(W1 mean(x)))`."""

    def __init__(self, channels, inner):
        super().__init__()
        self.reduce, self.expand = linear(channels, inner), linear(inner, channels)

    def forward(self, x):
        weights = torch.sigmoid(self.expand(F.relu(self.reduce(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


class SqueezeExcitationBlock(Reference):
    def build(self, c, g):
        self.layers = nn.Sequential(depthwise(c, 3), SqueezeExcitation(c, c // 4), conv(c, c))

    def forward(self, x):
        return self.layers(x)


class SqueezeExcitationGate(Reference):
    def build(self, c, g, x0):
        self.layer = SqueezeExcitation(c, x0)

    def forward(self, x):
        return self.layer(x)


class EfficientChannelAttention(Reference):
    """As in the paper's listing: the channels' means as a sequence, a 1-D convolution of it, a sigmoid, a gate."""

    def build(self, c, g):
        self.filter = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        means = F.adaptive_avg_pool2d(x, 1)
        scores = self.filter(means.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * torch.sigmoid(scores).expand_as(x)


class SpatialExcitation(Reference):
    def build(self, c, g):
        self.scores = conv(c, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.scores(x))


class PixelAttention(Reference):
    def build(self, c, g):
        self.scores = conv(c, c)

    def forward(self, x):
        return x * torch.sigmoid(self.scores(x))


class SimplifiedChannelAttention(Reference):
    def build(self, c, g):
        self.weights = conv(c, c)

    def forward(self, x):
        return x * self.weights(F.adaptive_avg_pool2d(x, 1))


class GatherExcite(Reference):
    def forward(self, x):
        return x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1))


class CbamSpatial(Reference):
    """As in the paper: one 7x7 convolution of the mean and the maximum over channels, stacked."""

    def build(self, c, g):
        self.conv = conv(2, 1, 7)

    def forward(self, x):
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(seen))

    def mapped(self):
        return list(self.conv.weight.split(1, 1))


class StyleRecalibration(Reference):
    """Two weights for each channel: of its mean and of its standard deviation."""

    def build(self, c, g):
        self.style = nn.Parameter(torch.ones(c, 2))

    def forward(self, x):
        flat = x.flatten(2)
        style = torch.stack([flat.mean(2), flat.std(2, correction=0)], -1)
        return x * torch.sigmoid((style * self.style).sum(-1))[:, :, None, None]

    def mapped(self):
        return list(self.style.unbind(1))


class SelectiveKernels(Reference):
    def build(self, c, g, x0):
        self.narrow, self.wide = conv(c, c, 3, groups=g), conv(c, c, 3, groups=g, dilation=2)
        self.reduce, self.scores = linear(c, x0), linear(x0, 2 * c)

    def forward(self, x):
        branches = torch.stack([F.relu(self.narrow(x)), F.relu(self.wide(x))], 1)
        hidden = F.relu(self.reduce(branches.sum(1).mean((2, 3))))
        weights = torch.softmax(self.scores(hidden).view(-1, 2, self.channels), 1)
        return (branches * weights[..., None, None]).sum(1)

    def mapped(self):
        return [self.narrow.weight, self.wide.weight, self.reduce.weight, *self.scores.weight.chunk(2)]


class SimAM(Reference):
    """The energy without its constants: `(x - mean)^2 / (variance + 1e-6)`."""

    def forward(self, x):
        centred = (x - x.mean((2, 3), keepdim=True)).square()
        energy = centred / (centred.mean((2, 3), keepdim=True) + EPS)
        return x * torch.sigmoid(energy)


class Involution(Reference):
    """As in the paper's listing: weights `[N, G, 1, K*K, H, W]` times windows `[N, G, C/G, K*K, H, W]`."""

    counted = False  # whether there are G groups, or one

    def build(self, c, g):
        self.taken = g if self.counted else 1
        self.reduce, self.span = conv(c, c // 4), conv(c // 4, 9 * self.taken)

    def forward(self, x):
        n, c, h, w = x.shape
        weights = self.span(F.relu(self.reduce(x))).view(n, self.taken, 1, 9, h, w)
        windows = F.unfold(x, 3, padding=1).view(n, self.taken, c // self.taken, 9, h, w)
        return (weights * windows).sum(3).view(n, c, h, w)

    def mapped(self):
        return [self.reduce.weight, self.span.weight * 9]  # the kernel takes the mean over the window


class GroupedInvolution(Involution):
    counted = True


class LargeKernelAttention(Reference):
    def build(self, c, g):
        self.layers = nn.Sequential(depthwise(c, 5), depthwise(c, 7, dilation=3), conv(c, c))

    def forward(self, x):
        return x * self.layers(x)


REFERENCES = {
    "squeeze_excitation": SqueezeExcitationBlock,
    "squeeze_excitation_gate": SqueezeExcitationGate,
    "eca": EfficientChannelAttention,
    "spatial_excitation": SpatialExcitation,
    "pixel_attention": PixelAttention,
    "simplified_channel_attention": SimplifiedChannelAttention,
    "gather_excite": GatherExcite,
    "cbam_spatial": CbamSpatial,
    "style_recalibration": StyleRecalibration,
    "selective_kernels": SelectiveKernels,
    "simam": SimAM,
    "involution": Involution,
    "grouped_involution": GroupedInvolution,
    "large_kernel_attention": LargeKernelAttention,
}
