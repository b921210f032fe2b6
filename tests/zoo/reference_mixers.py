"""References of the known kernels that gate, mix positions and channels, or feed forward (kas.zoo.gates, kas.zoo.mixers)."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from reference import EPS, Reference, conv, depthwise, image, layer_norm, linear, rows
from torch import nn


class GLU(Reference):
    def build(self, c, g):
        self.both = conv(c, 2 * c)

    def forward(self, x):
        return F.glu(self.both(x), 1)

    def mapped(self):
        return list(self.both.weight.chunk(2))


class GEGLU(Reference):
    def build(self, c, g, x0):
        self.gate, self.value, self.out = linear(c, x0), linear(c, x0), linear(x0, c)

    def forward(self, x):
        tokens = rows(x)
        return image(self.out(F.gelu(self.gate(tokens)) * self.value(tokens)), x)


class Bilinear(Reference):
    def build(self, c, g, x0):
        self.gate, self.value, self.out = linear(c, x0), linear(c, x0), linear(x0, c)

    def forward(self, x):
        tokens = rows(x)
        return image(self.out(self.gate(tokens) * self.value(tokens)), x)


class GatedConvolution(Reference):
    def build(self, c, g):
        self.feature, self.gate = conv(c, c, 3), conv(c, c, 3)

    def forward(self, x):
        return self.feature(x) * torch.sigmoid(self.gate(x))


class HorNet(Reference):
    """As in the paper's listing: one projection in, one depthwise convolution over all orders, then product after product."""

    def build(self, c, g):
        self.widths = [c // 4, c // 2, c]
        self.enter, self.depthwise = conv(c, 2 * c), depthwise(sum(self.widths), 7)
        self.steps = nn.ModuleList(conv(a, b) for a, b in zip(self.widths, self.widths[1:], strict=False))
        self.leave = conv(c, c)

    def forward(self, x):
        first, rest = self.enter(x).split([self.widths[0], sum(self.widths)], 1)
        gates = self.depthwise(rest).split(self.widths, 1)
        hidden = first * gates[0]
        for step, gate in zip(self.steps, gates[1:], strict=True):
            hidden = step(hidden) * gate
        return self.leave(hidden)

    def mapped(self):
        first, *enter = self.enter.weight.split([self.widths[0], *self.widths])
        gates = self.depthwise.weight.split(self.widths)
        second, third = (step.weight for step in self.steps)
        return [first, enter[0], gates[0], second, enter[1], gates[1], third, enter[2], gates[2], self.leave.weight]


class FeedForward(Reference):
    def build(self, c, g, x0):
        self.layers = nn.Sequential(linear(c, x0), nn.ReLU(), linear(x0, c))

    def forward(self, x):
        return image(self.layers(rows(x)), x)


class PrimerFeedForward(Reference):
    def build(self, c, g, x0):
        self.up, self.down = linear(c, x0), linear(x0, c)

    def forward(self, x):
        return image(self.down(F.relu(self.up(rows(x))) ** 2), x)


class PoolFormer(Reference):
    def build(self, c, g, x0):
        self.up, self.down = conv(c, x0), conv(x0, c)

    def forward(self, x):
        normed = F.group_norm(x, 1, eps=EPS)
        x = x + F.avg_pool2d(normed, 3, 1, 1) - normed
        return x + self.down(F.gelu(self.up(F.group_norm(x, 1, eps=EPS))))


class Mixer(Reference):
    def build(self, c, g, x0, x1):
        positions = prod(self.size)
        self.tokens = nn.Sequential(linear(positions, x0), nn.GELU(), linear(x0, positions))
        self.mlp = nn.Sequential(linear(c, x1), nn.GELU(), linear(x1, c))

    def forward(self, x):
        x = x + self.tokens(layer_norm(x).flatten(2)).view_as(x)
        return x + image(self.mlp(rows(layer_norm(x))), x)


class Affine(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, tokens):
        return self.alpha * tokens + self.beta


class ResMLP(Reference):
    """As in the paper's listing, on rows `[N, positions, C]`."""

    def build(self, c, g, x0):
        self.norm1, self.attention, self.gamma1 = (
            Affine(c),
            linear(prod(self.size), prod(self.size)),
            nn.Parameter(torch.ones(c)),
        )
        self.norm2, self.gamma2 = Affine(c), nn.Parameter(torch.ones(c))
        self.mlp = nn.Sequential(linear(c, x0), nn.GELU(), linear(x0, c))

    def forward(self, x):
        tokens = rows(x)
        tokens = tokens + self.gamma1 * self.attention(self.norm1(tokens).transpose(1, 2)).transpose(1, 2)
        tokens = tokens + self.gamma2 * self.mlp(self.norm2(tokens))
        return image(tokens, x)

    def mapped(self):
        first = [self.norm1.alpha, self.norm1.beta, self.attention.weight, self.gamma1]
        return [*first, self.norm2.alpha, self.norm2.beta, self.mlp[0].weight, self.mlp[2].weight, self.gamma2]


class GMLP(Reference):
    def build(self, c, g, x0):
        positions = prod(self.size)
        self.enter, self.spatial, self.leave = linear(c, 2 * x0), nn.Linear(positions, positions), linear(x0, c)

    def forward(self, x):
        u, v = F.gelu(self.enter(rows(layer_norm(x)))).chunk(2, -1)
        v = F.layer_norm(v, v.shape[-1:], eps=EPS)
        v = self.spatial(v.transpose(1, 2)).transpose(1, 2)
        return x + image(self.leave(u * v), x)

    def mapped(self):
        return [*self.enter.weight.chunk(2), self.spatial.weight, self.spatial.bias, self.leave.weight]


REFERENCES = {
    "glu": GLU,
    "geglu": GEGLU,
    "bilinear": Bilinear,
    "gated_convolution": GatedConvolution,
    "hornet": HorNet,
    "feed_forward": FeedForward,
    "primer_feed_forward": PrimerFeedForward,
    "poolformer": PoolFormer,
    "mlp_mixer": Mixer,
    "resmlp": ResMLP,
    "gmlp": GMLP,
}
