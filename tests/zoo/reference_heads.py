"""References of the known kernels with heads, and along rows and columns (kas.zoo.heads).

`mapped` undoes the square roots of kas's products.
"""

from __future__ import annotations

from math import prod, sqrt

import torch
from reference import EPS, Reference, conv, image, linear, rows
from torch import Tensor, nn


def heads(x: Tensor, count: int) -> Tensor:
    """`[N, C, *size]` → `[N, heads, positions, C/heads]`."""
    return rows(x).unflatten(2, (count, -1)).transpose(1, 2)


def unit(x: Tensor, dim: int) -> Tensor:
    return x / (x.square().sum(dim, keepdim=True) + EPS).sqrt()


class MultiHead(Reference):
    """`nn.MultiheadAttention` with G heads, each `x0` wide."""

    def build(self, c, g, x0):
        self.qkv, self.out = linear(c, 3 * g * x0), linear(g * x0, c)

    def forward(self, x):
        n, positions = x.shape[0], prod(self.size)
        query, key, value = self.qkv(rows(x)).view(n, positions, 3, self.groups, -1).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(query @ key.transpose(2, 3) / sqrt(query.shape[-1]), -1)
        return image(self.out((weights @ value).transpose(1, 2).reshape(n, positions, -1)), x)

    def mapped(self):
        query, key, value = self.qkv.weight.chunk(3)
        return [query, key, value * sqrt(prod(self.size)), self.out.weight]


class Xcit(Reference):
    """softmax(q k^T * temperature) v of `[N, heads, C/heads, positions]`, q and k of unit length over the positions."""

    def build(self, c, g):
        self.query, self.key, self.value = conv(c, c), conv(c, c), conv(c, c)
        self.temperature, self.out = nn.Parameter(torch.ones(g)), conv(c, c)

    def forward(self, x):
        parts = [layer(x).flatten(2).unflatten(1, (self.groups, -1)) for layer in (self.query, self.key, self.value)]
        query, key = unit(parts[0], -1), unit(parts[1], -1)
        weights = torch.softmax(query @ key.transpose(-2, -1) * self.temperature.view(-1, 1, 1), -1)
        return self.out((weights @ parts[2]).flatten(1, 2).unflatten(2, self.size))

    def mapped(self):
        inner = self.channels // self.groups
        temperature = self.temperature * sqrt(prod(self.size))
        return [self.query.weight, self.key.weight, self.value.weight * sqrt(inner), temperature, self.out.weight]


class AlongLines(nn.Module):
    """Scaled dot-product attention within each row of `[N, C, H, W]`."""

    def __init__(self, c: int, inner: int):
        super().__init__()
        self.query, self.key, self.value, self.out = (
            conv(c, inner), conv(c, inner), conv(c, inner), conv(inner, c)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).permute(0, 2, 3, 1) for layer in (self.query, self.key, self.value))
        weights = torch.softmax(query @ key.transpose(2, 3) / sqrt(query.shape[-1]), -1)
        return self.out((weights @ value).permute(0, 3, 1, 2))

    def mapped(self, length: int) -> list[Tensor]:
        return [self.query.weight, self.key.weight, self.value.weight * sqrt(length), self.out.weight]


class Axial(Reference):
    def build(self, c, g, x0, x1):
        self.rows, self.columns = AlongLines(c, x0), AlongLines(c, x1)

    def forward(self, x):
        return self.columns(self.rows(x).transpose(2, 3)).transpose(2, 3)

    def mapped(self):
        return [*self.rows.mapped(self.size[1]), *self.columns.mapped(self.size[0])]


class CrissCross(Reference):
    """x plus what each position takes of its row and of its column, with a softmax for each.

    The values of both are one map: the root of W is divided out of the rows, that of H out of the columns.
    """

    def build(self, c, g, x0):
        self.query, self.key, self.value = conv(c, x0), conv(c, x0), conv(c, c)

    def forward(self, x):
        query, key, value = self.query(x), self.key(x), self.value(x)
        height, width = self.size
        across = torch.softmax(torch.einsum("nchi,nchj->nhij", query, key) / sqrt(query.shape[1]), -1)
        down = torch.softmax(torch.einsum("nciw,ncjw->nwij", query, key) / sqrt(query.shape[1]), -1)
        row = torch.einsum("nhij,nchj->nchi", across, value) / sqrt(width)
        column = torch.einsum("nwij,ncjw->nciw", down, value) / sqrt(height)
        return x + row + column

    def mapped(self):
        return [self.query.weight, self.key.weight, self.value.weight]


REFERENCES = {
    "multi_head_attention": MultiHead,
    "xcit_attention": Xcit,
    "axial_attention": Axial,
    "criss_cross_attention": CrissCross,
}
