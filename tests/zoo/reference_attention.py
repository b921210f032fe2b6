"""References of the known kernels that attend (kas.zoo.attention). `mapped` undoes the square roots of kas's products."""

from __future__ import annotations

from math import prod, sqrt

import torch
import torch.nn.functional as F
from reference import EPS, Reference, conv, image, linear, rows
from torch import nn


class NonLocal(Reference):
    """Embedded Gaussian: softmax(theta^T phi) g, without a temperature."""

    def build(self, c, g, x0):
        self.theta, self.phi, self.g, self.out = conv(c, x0), conv(c, x0), conv(c, x0), conv(x0, c)

    def forward(self, x):
        theta, phi, g = (rows(layer(x)) for layer in (self.theta, self.phi, self.g))
        return x + self.out(image(torch.softmax(theta @ phi.transpose(1, 2), -1) @ g, x))

    def mapped(self):
        inner, positions = sqrt(self.theta.out_channels), sqrt(prod(self.size))
        return [self.theta.weight * inner, self.phi.weight, self.g.weight * positions, self.out.weight]


class SelfAttention(Reference):
    """Scaled dot-product attention over the positions, as rows."""

    def build(self, c, g, x0):
        self.query, self.key, self.value, self.out = linear(c, x0), linear(c, x0), linear(c, x0), linear(x0, c)

    def forward(self, x):
        tokens = rows(x)
        attended = F.scaled_dot_product_attention(self.query(tokens), self.key(tokens), self.value(tokens))
        return image(self.out(attended), x)

    def mapped(self):
        return [self.query.weight, self.key.weight, self.value.weight * sqrt(prod(self.size)), self.out.weight]


class TwoHeads(Reference):
    """`nn.MultiheadAttention` with two heads, each `x0` wide."""

    def build(self, c, g, x0):
        self.qkv, self.out = linear(c, 6 * x0), linear(2 * x0, c)

    def forward(self, x):
        n, positions = x.shape[0], prod(self.size)
        query, key, value = self.qkv(rows(x)).view(n, positions, 3, 2, -1).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(query @ key.transpose(2, 3) / sqrt(query.shape[-1]), -1)
        heads = weights @ value
        return image(self.out(heads.transpose(1, 2).reshape(n, positions, -1)), x)

    def mapped(self):
        queries, keys, values = (part.chunk(2) for part in self.qkv.weight.chunk(3))
        outs, factor = self.out.weight.chunk(2, 1), sqrt(prod(self.size))
        return [w for head in range(2) for w in (queries[head], keys[head], values[head] * factor, outs[head])]


class Cosine(Reference):
    """softmax(cos(q, k) * temperature) v; the temperature stands on the channels of the queries."""

    def build(self, c, g, x0):
        self.query, self.temperature = linear(c, x0), nn.Parameter(torch.ones(x0))
        self.key, self.value, self.out = linear(c, x0), linear(c, x0), linear(x0, c)

    def forward(self, x):
        tokens = rows(x)
        query, key = (q / (q.square().sum(-1, keepdim=True) + EPS).sqrt() for q in (self.query(tokens), self.key(tokens)))
        weights = torch.softmax((query * self.temperature) @ key.transpose(1, 2), -1)
        return image(self.out(weights @ self.value(tokens)), x)

    def mapped(self):
        inner, positions = sqrt(len(self.temperature)), sqrt(prod(self.size))
        key, value, out = self.key.weight, self.value.weight * positions, self.out.weight
        return [self.query.weight, self.temperature * inner, key, value, out]


class Efficient(Reference):
    """Softmax of the queries over channels, of the keys over positions; keys and values meet first."""

    def build(self, c, g, x0, x1):
        self.query, self.key, self.value, self.out = conv(c, x0), conv(c, x0), conv(c, x1), conv(x1, c)

    def forward(self, x):
        query = torch.softmax(self.query(x).flatten(2), 1)
        key = torch.softmax(self.key(x).flatten(2), 2)
        context = key @ self.value(x).flatten(2).transpose(1, 2)
        return x + self.out((context.transpose(1, 2) @ query).unflatten(2, self.size))

    def mapped(self):
        factor = sqrt(prod(self.size) * self.query.out_channels)
        return [self.query.weight, self.key.weight, self.value.weight * factor, self.out.weight]


class ReluLinear(Reference):
    """relu(q) (relu(k)^T v) / relu(q) sum(relu(k)), as a ratio of two products."""

    def build(self, c, g, x0):
        self.query, self.key, self.value, self.out = linear(c, x0), linear(c, x0), linear(c, x0), linear(x0, c)

    def forward(self, x):
        tokens = rows(x)
        query, key, value = F.relu(self.query(tokens)), F.relu(self.key(tokens)), self.value(tokens)
        both = query @ (key.transpose(1, 2) @ value)
        return x + image(self.out(both / (query @ key.sum(1).unsqueeze(-1)).clamp_min(1e-3)), x)

    def mapped(self):
        return [self.query.weight, self.key.weight, self.value.weight / sqrt(prod(self.size)), self.out.weight]


class ChannelAttention(Reference):
    """softmax(A A^T) A * beta + A; the energies over the square root of the number of positions."""

    def build(self, c, g):
        self.beta = nn.Parameter(torch.ones(c))

    def forward(self, x):
        a = x.flatten(2)
        weights = torch.softmax(a @ a.transpose(1, 2) / sqrt(a.shape[2]), -1)
        return self.beta.view(-1, 1, 1) * (weights @ a).unflatten(2, self.size) + x

    def mapped(self):
        return [self.beta * sqrt(self.channels)]


class GlobalContext(Reference):
    def build(self, c, g, x0):
        self.scores, self.reduce, self.expand = conv(c, 1), linear(c, x0), linear(x0, c)

    def forward(self, x):
        weights = torch.softmax(self.scores(x).flatten(2), -1)
        context = (x.flatten(2) @ weights.transpose(1, 2)).squeeze(2)
        hidden = F.layer_norm(self.reduce(context), (self.reduce.out_features,), eps=EPS)
        return x + self.expand(F.relu(hidden))[:, :, None, None]

    def mapped(self):
        return [self.scores.weight, self.reduce.weight * sqrt(prod(self.size)), self.expand.weight]


REFERENCES = {
    "nonlocal_attention": NonLocal,
    "self_attention": SelfAttention,
    "two_head_attention": TwoHeads,
    "cosine_attention": Cosine,
    "linear_attention": Efficient,
    "relu_linear_attention": ReluLinear,
    "channel_attention": ChannelAttention,
    "global_context": GlobalContext,
}
