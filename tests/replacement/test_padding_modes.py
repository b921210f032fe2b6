"""Padding modes other than zeros stay what they were: a kernel sees the image go on as the layer did."""

import pytest
import torch
import torch.nn.functional as F
from case_networks import CASES, conv
from replacement_networks import CONVOLUTIONS, identity_template, same_template
from torch import nn

import kas
from kas import Infeasible
from kas.replacement import find_targets, fuse, replace_layers

KERNEL = kas.zoo.get("depthwise_separable")


def shifts(x):
    """The image, shifted circularly along each axis and both."""
    dims = tuple(range(2, x.dim()))
    for by in ((3,) * len(dims), (1, *(0,) * (len(dims) - 1)), (-5,) * len(dims)):
        yield lambda image, by=by: image.roll(by, dims)


def test_cyclic():
    model, x = CASES["cyclic"]()
    new = kas.replace(model, KERNEL, x, budget={"macs": 0.5}).eval()
    for size in (32, 17):
        x = torch.randn(2, 3, size, size)
        for shift in shifts(x):
            assert torch.allclose(model(shift(x)), shift(model(x)), atol=1e-5)
            assert torch.allclose(new(shift(x)), shift(new(x)), atol=1e-5)
    new(x).square().mean().backward()
    zeros = nn.Sequential(conv(3, 8), conv(8, 8))
    other = kas.replace(zeros, KERNEL, x).eval()
    shift = next(shifts(x))
    assert not torch.allclose(other(shift(x)), shift(other(x)), atol=1e-5)


def test_cyclic_networks_can_be_compiled_traced_fused_and_exported():
    model, x = CASES["cyclic"]()
    new = kas.replace(model, KERNEL, x).eval()
    torch.compiler.reset()
    with torch.no_grad():
        expected = new(x)
        assert torch.allclose(torch.compile(new, backend="eager", fullgraph=True)(x), expected, atol=1e-6)
        assert torch.allclose(torch.fx.symbolic_trace(new)(x), expected, atol=1e-6)
        assert torch.allclose(fuse(new, x)(x), expected, atol=1e-5)
        assert torch.allclose(torch.export.export(new, (x,)).module()(x), expected, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
@pytest.mark.parametrize("channels", [(4, 4), (4, 8), (8, 4), (4, 6)], ids=str)
def test_the_template_reads_what_the_layer_would(rank, mode, channels):
    """At stride 1 the result is that of the template on an image that is padded by the layer's rule."""
    model = nn.Sequential(CONVOLUTIONS[rank](*channels, 5, padding=2, padding_mode=mode, bias=False))
    x = torch.randn(2, channels[0], *(12,) * rank)
    new = replace_layers(model, find_targets(model, x, names="0"), same_template)[0]
    assert new.margin.margins == (1,) * rank
    y = F.pad(x, (1, 1) * rank, mode=mode)
    y = y if new.projection is None else new.projection(y)
    parts = y.chunk(len(new.templates), 1) if new.kind == "splits" else [y] * len(new.templates)
    inner = [F.pad(template(part), (-1, -1) * rank) for template, part in zip(new.templates, parts, strict=True)]
    expected = torch.cat(inner, 1) if new.kind == "copies" else sum(inner)
    assert torch.allclose(new(x), expected, atol=1e-5)


@pytest.mark.parametrize("downsampling", ["average", "subsample"])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 5, "stride": 3, "padding": 2},
        {"kernel_size": 3, "padding": 4},
        {"kernel_size": (1, 5), "padding": (0, 2)},
        {"kernel_size": 3, "padding": 2, "dilation": 2, "stride": (1, 2)},
        {"kernel_size": 4, "stride": 4, "padding": 2},
        {"kernel_size": 3, "padding": "same"},
    ],
    ids=str,
)
def test_strides_and_sizes(options, downsampling):
    """A shift by the stride of a circular image shifts the output by one, where the layer's own does so."""
    layer = nn.Conv2d(4, 4, padding_mode="circular", **options)
    x = torch.randn(2, 4, 24, 24)
    new = replace_layers(layer, find_targets(layer, x, names="*"), same_template, downsampling)
    assert new(x).shape == layer(x).shape
    for dim, stride in zip((2, 3), layer.stride, strict=True):
        y, moved = layer(x), layer(x.roll(stride, dim))
        ours, ours_moved = new(x), new(x.roll(stride, dim))
        inside = slice(1, None)  # padding larger than the kernel's reach repeats the image: one position comes in
        shifted, ours_shifted = (z.roll(1, dim).movedim(dim, 0)[inside] for z in (y, ours))
        assert torch.allclose(moved.movedim(dim, 0)[inside], shifted, atol=1e-5)
        assert torch.allclose(ours_moved.movedim(dim, 0)[inside], ours_shifted, atol=1e-5)


def test_only_padding_needs_a_margin():
    x = torch.randn(1, 4, 12, 12)
    for layer, template, margins in (
        (conv(4, 4), same_template, None),
        (nn.Conv2d(4, 4, 3, padding_mode="circular"), same_template, None),
        (conv(4, 4, padding_mode="circular"), identity_template, (0, 0)),
    ):
        new = replace_layers(layer, find_targets(layer, x, names="*"), template)
        assert (None if new.margin is None else new.margin.margins) == margins


@pytest.mark.parametrize(
    ("name", "margin"),
    [("grouped3x3", 1), ("ghost", 1), ("bottleneck", 1), ("shiftnet", 1), ("conv1x1", 0), ("replknet", 6)],
)
def test_margins_of_known_kernels(name, margin):
    model = nn.Sequential(conv(3, 16), conv(16, 16, padding_mode="circular")).eval()
    x = torch.randn(1, 3, 16, 16)
    new = kas.replace(model, kas.zoo.get(name), x).eval()
    assert new[1].margin.margins == (margin, margin)
    shift = next(shifts(x))
    assert torch.allclose(new[1](shift(new[0](x))), shift(new[1](new[0](x))), atol=1e-4)


class Mean(nn.Module):
    """Reads the whole image besides its neighbourhood."""

    def __init__(self):
        super().__init__()
        self.conv = conv(4, 4)

    def forward(self, x):
        return self.conv(x) * x.mean((2, 3), keepdim=True)


class OneSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.places = conv(4, 4), nn.Parameter(torch.randn(8, 8))

    def forward(self, x):
        return self.conv(x) * self.places


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (Mean(), "the kernel reads more than a neighbourhood of each position"),
        (nn.Sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2)), "reads more than a neighbourhood"),
        (OneSize(), r"does not run at another size \(RuntimeError"),
        (nn.Conv2d(4, 4, 9, padding=16, dilation=4), "reads more than a neighbourhood"),
        (nn.Conv2d(4, 4, 5, padding=8, dilation=4), r"reads \(8, 8\) positions further, as much as the image has"),
    ],
    ids=["mean", "pool", "one size", "too wide to try", "too wide"],
)
def test_kernels_that_cannot_keep_a_mode(template, reason):
    layer = conv(4, 4, padding_mode="circular")
    targets = find_targets(nn.Sequential(layer), torch.randn(1, 4, 8, 8), names="0")
    with pytest.raises(Infeasible, match=r"0: its padding mode 'circular' cannot be kept: .*" + reason):
        replace_layers(nn.Sequential(layer), targets, lambda target: template)
