"""References of the known kernels that weigh the neighbours of a position by what is there (kas.zoo.reassembly)."""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from reference import Reference, conv, image, linear, rows


class Outlook(Reference):
    """The published code at stride 1: `F.unfold`, a product for each head and position, `F.fold`."""

    def build(self, c, g):
        self.value, self.attn, self.proj = linear(c, c), linear(c, 81 * g), linear(c, c)

    def forward(self, x):
        n, c, h, w = x.shape
        value = F.unfold(image(self.value(rows(x)), x), 3, padding=1)
        value = value.reshape(n, self.groups, c // self.groups, 9, h * w).permute(0, 1, 4, 3, 2)
        attn = self.attn(rows(x)).reshape(n, h * w, self.groups, 9, 9).permute(0, 2, 1, 3, 4)
        out = torch.softmax(attn / sqrt(c // self.groups), -1) @ value
        out = out.permute(0, 1, 4, 3, 2).reshape(n, c * 9, h * w)
        return image(self.proj(rows(F.fold(out, (h, w), 3, padding=1))), x)

    def mapped(self):
        attn = self.attn.weight.unflatten(0, (self.groups, 9, 9)).transpose(1, 2).flatten(0, 2)
        return [self.value.weight, attn / sqrt(self.channels // self.groups), self.proj.weight]


class Carafe(Reference):
    """Filters by `F.pixel_shuffle`; each of the four places of a position combines the same 5x5 neighbours."""

    def build(self, c, g, x0):
        self.compress, self.encode = conv(c, x0), conv(x0, 100, 3)

    def forward(self, x):
        low = F.avg_pool2d(x, 2)
        filters = torch.softmax(F.pixel_shuffle(self.encode(self.compress(low)), 2), 1)
        n, c, h, w = low.shape
        neighbours = F.unfold(low, 5, padding=2).view(n, c, 25, h, w)
        fine = filters.view(n, 25, h, 2, w, 2)
        return torch.einsum("nckhw,nkhawb->nchawb", neighbours, fine).reshape(n, c, 2 * h, 2 * w)


class InvolutionProduct(Reference):
    def build(self, c, g):
        self.reduce, self.span = conv(c, c // 4), conv(c // 4, 9 * g)

    def forward(self, x):
        n, c, h, w = x.shape
        weight = self.span(F.relu(self.reduce(x))).view(n, self.groups, 9, h, w)
        taps = F.unfold(x, 3, padding=1).view(n, self.groups, c // self.groups, 9, h, w)
        return torch.einsum("ngckhw,ngkhw->ngchw", taps, weight).reshape(n, c, h, w)


class DynamicFilter(Reference):
    """A 3x3 filter for each position, its elements positive and of sum one, the same for all channels of a head."""

    def build(self, c, g):
        self.filters = conv(c, 9 * self.heads())

    def heads(self):
        return 1

    def forward(self, x):
        n, c, h, w = x.shape
        heads = self.heads()
        weight = torch.softmax(self.filters(x).view(n, heads, 9, h, w), 2)
        taps = F.unfold(x, 3, padding=1).view(n, heads, c // heads, 9, h, w)
        return torch.einsum("ngckhw,ngkhw->ngchw", taps, weight).reshape(n, c, h, w)


class DynamicConvolution(DynamicFilter):
    def heads(self):
        return self.groups


REFERENCES = {
    "outlook_attention": Outlook,
    "carafe": Carafe,
    "involution_product": InvolutionProduct,
    "dynamic_filter": DynamicFilter,
    "dynamic_convolution": DynamicConvolution,
}
