"""References of the known kernels over windows (kas.zoo.windows) and with shifts (kas.zoo.shifts)."""

from __future__ import annotations

from math import prod, sqrt

import torch
import torch.nn.functional as F
from reference import EPS, Reference, conv, image, layer_norm, linear, rows
from reference_heads import unit
from torch import Tensor, nn

WINDOW = 7


def window_partition(x: Tensor, size: int) -> Tensor:
    """`[N, C, H, W]` → `[N * windows, size * size, C]`, as in the code of the Swin transformer."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).view(n, h // size, size, w // size, size, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, c)


def window_reverse(windows: Tensor, size: int, h: int, w: int) -> Tensor:
    """`[N * windows, size * size, C]` → `[N, C, H, W]`."""
    x = windows.view(-1, h // size, w // size, size, size, windows.shape[-1])
    return x.permute(0, 5, 1, 3, 2, 4).reshape(x.shape[0], -1, h, w)


class Swin(Reference):
    """Windowed multi-head attention, without mask and position bias."""

    cosine = False

    def build(self, c, g):
        self.qkv = linear(c, 3 * c)
        if self.cosine:
            self.temperature = nn.Parameter(torch.ones(g))
        self.proj = linear(c, c)

    def forward(self, x):
        windows = window_partition(x, WINDOW)
        b, n, c = windows.shape
        query, key, value = self.qkv(windows).reshape(b, n, 3, self.groups, c // self.groups).permute(2, 0, 3, 1, 4)
        if self.cosine:
            scores = unit(query, -1) @ unit(key, -1).transpose(-2, -1) * self.temperature.view(-1, 1, 1)
        else:
            scores = query @ key.transpose(-2, -1) / sqrt(c // self.groups)
        out = (torch.softmax(scores, -1) @ value).transpose(1, 2).reshape(b, n, c)
        return window_reverse(self.proj(out), WINDOW, *self.size)

    def mapped(self):
        query, key, value = self.qkv.weight.chunk(3)
        between = [self.temperature * sqrt(self.channels // self.groups)] if self.cosine else []
        return [query, key, value * WINDOW, *between, self.proj.weight]


class SwinV2(Swin):
    cosine = True


class Patchwise(Reference):
    """The unfolding of MobileViT: `[N, P, patches, C]` with P = 4 places in a patch; attention among the patches."""

    def build(self, c, g, x0):
        self.qkv, self.out = linear(c, 3 * x0), linear(x0, c)

    def forward(self, x):
        n, _, h, w = x.shape
        tokens = F.unfold(x, 2, stride=2).view(n, self.channels, 4, -1).permute(0, 2, 3, 1)
        query, key, value = self.qkv(tokens).chunk(3, -1)
        weights = torch.softmax(query @ key.transpose(-2, -1) / sqrt(query.shape[-1]), -1)
        out = self.out(weights @ value).permute(0, 3, 1, 2).reshape(n, -1, h * w // 4)
        return F.fold(out, (h, w), 2, stride=2)

    def mapped(self):
        query, key, value = self.qkv.weight.chunk(3)
        return [query, key, value * sqrt(prod(self.size) / 4), self.out.weight]


class SpatialReduction(Reference):
    """Keys and values come from a convolution of stride 2 and a norm."""

    def build(self, c, g, x0):
        self.reduce = nn.Conv2d(c, c, 2, stride=2, bias=False)
        self.query, self.key, self.value, self.out = linear(c, x0), linear(c, x0), linear(c, x0), linear(x0, c)

    def forward(self, x):
        reduced = rows(layer_norm(self.reduce(x)))
        attended = F.scaled_dot_product_attention(self.query(rows(x)), self.key(reduced), self.value(reduced))
        return image(self.out(attended), x)

    def mapped(self):
        value = self.value.weight * sqrt(prod(self.size) / 4)
        return [self.reduce.weight, self.query.weight, self.key.weight, value, self.out.weight]


class PatchEmbedding(Reference):
    def build(self, c, g, x0):
        self.embed, self.back = nn.Conv2d(c, x0, 2, stride=2, bias=False), conv(x0, 4 * c)

    def forward(self, x):
        return F.pixel_shuffle(self.back(F.gelu(self.embed(x))), 2)


class Espcn(Reference):
    def build(self, c, g):
        self.conv = conv(c, 4 * c, 3)

    def forward(self, x):
        return F.pixel_shuffle(self.conv(F.max_pool2d(x, 2)), 2)


class SelfCalibrated(Reference):
    """k2 at a quarter of the resolution, k3 and k4 as in the paper."""

    def build(self, c, g):
        self.k2, self.k3, self.k4 = conv(c, c, 3), conv(c, c, 3), conv(c, c, 3)

    def forward(self, x):
        gate = torch.sigmoid(x + F.interpolate(self.k2(F.avg_pool2d(x, 4)), x.shape[2:]))
        return self.k4(gate * self.k3(x))


class ShiftNet(Reference):
    """The shift is a depthwise 3x3 convolution whose filters have a single one."""

    def build(self, c, g, x0):
        self.expand, self.project = conv(c, 9 * x0), conv(9 * x0, c)

    def forward(self, x):
        hidden = F.relu(self.expand(x))
        padded, shifted = F.pad(hidden, (1, 1, 1, 1)), []
        for number, part in enumerate(padded.chunk(9, 1)):
            row, column = 2 - number // 3, 2 - number % 3
            shifted.append(part[:, :, row : row + x.shape[2], column : column + x.shape[3]])
        return self.project(torch.cat(shifted, 1))


class S2Mlp(Reference):
    """`spatial_shift1` of the paper: each quarter moves by one, the border keeps what it has."""

    def build(self, c, g, x0):
        self.fc1, self.fc2, self.expand, self.project = conv(c, c), conv(c, c), conv(c, x0), conv(x0, c)

    def forward(self, x):
        hidden = F.gelu(self.fc1(layer_norm(x)))
        moved, q = hidden.clone(), self.channels // 4
        moved[:, :q, :, 1:] = hidden[:, :q, :, :-1]
        moved[:, q : 2 * q, :, :-1] = hidden[:, q : 2 * q, :, 1:]
        moved[:, 2 * q : 3 * q, 1:] = hidden[:, 2 * q : 3 * q, :-1]
        moved[:, 3 * q :, :-1] = hidden[:, 3 * q :, 1:]
        x = x + self.fc2(moved)
        return x + self.project(F.gelu(self.expand(layer_norm(x))))


class AsMlp(Reference):
    """Pad, roll the thirds by -1, 0 and 1, cut: as in the published code."""

    def build(self, c, g, x0):
        inner = 3 * x0
        self.conv1, self.across, self.down, self.conv3 = conv(c, inner), conv(inner, inner), conv(inner, inner), conv(inner, c)

    @staticmethod
    def shift(x: Tensor, dim: int) -> Tensor:
        parts = [part.roll(by, dim) for part, by in zip(F.pad(x, (1, 1, 1, 1)).chunk(3, 1), (-1, 0, 1), strict=True)]
        return torch.cat(parts, 1)[:, :, 1:-1, 1:-1]

    @staticmethod
    def norm(x: Tensor) -> Tensor:
        return F.group_norm(x, 1, eps=EPS)

    def forward(self, x):
        hidden = F.gelu(self.norm(self.conv1(x)))
        across, down = F.gelu(self.across(self.shift(hidden, 3))), F.gelu(self.down(self.shift(hidden, 2)))
        return self.conv3(self.norm(across + down))


REFERENCES = {
    "swin_attention": Swin,
    "swin_v2_attention": SwinV2,
    "patchwise_attention": Patchwise,
    "spatial_reduction_attention": SpatialReduction,
    "patch_embedding": PatchEmbedding,
    "pixel_shuffle": Espcn,
    "self_calibrated": SelfCalibrated,
    "shiftnet": ShiftNet,
    "s2_mlp": S2Mlp,
    "as_mlp": AsMlp,
}
