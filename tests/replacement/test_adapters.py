"""Adapters: output sizes, alignment of centres, channels, exact cost."""

import copy
import itertools

import numpy as np
import pytest
import torch
from replacement_networks import identity_template, same_template
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kas.language.errors import KasError
from kas.replacement import AdaptedLayer, adapt
from kas.replacement.layers import axes_of, describe

GEOMETRIES = [
    {"kernel_size": k, "stride": s, "padding": p, "dilation": d}
    for k, s, p, d in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 3), (1, 2))
] + [{"kernel_size": k, "padding": p, "dilation": d} for k, p, d in itertools.product((1, 2, 3, 4), ("same", "valid"), (1, 2))]
PAIRS = [
    {"kernel_size": (3, 5), "stride": (2, 1), "padding": (1, 2)},
    {"kernel_size": (1, 7), "stride": (1, 3), "padding": (0, 3), "dilation": (1, 2)},
    {"kernel_size": (3, 1), "padding": "same", "dilation": (2, 1)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "padding_mode": "reflect"},
    {"kernel_size": 3, "padding": 2, "padding_mode": "circular"},
]
# torch itself pads a copy for an even kernel with padding "same", and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


def target_of(layer, size):
    return describe("layer", layer, size)


def replaced(layer, x, template=same_template, **options):
    return adapt(target_of(layer, tuple(layer(x).shape[2:])), layer, template, **options)


@pytest.mark.parametrize("downsampling", ["average", "subsample"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_output_size_at_any_input_size(geometry, downsampling):
    layer = nn.Conv1d(4, 4, **geometry, bias=False)
    new = replaced(layer, torch.zeros(1, 4, 16), downsampling=downsampling)
    for n in range(9, 20):
        x = torch.zeros(2, 4, n)
        assert new(x).shape == layer(x).shape


@pytest.mark.parametrize("downsampling", ["average", "subsample"])
@pytest.mark.parametrize("geometry", PAIRS, ids=str)
def test_output_size_of_uneven_axes(geometry, downsampling):
    layer = nn.Conv2d(4, 4, **geometry)
    new = replaced(layer, torch.zeros(1, 4, 20, 20), downsampling=downsampling)
    for h, w in [(20, 20), (21, 20), (19, 23), (32, 17)]:
        x = torch.zeros(1, 4, h, w)
        assert new(x).shape == layer(x).shape


@pytest.mark.parametrize("geometry", [g for g in GEOMETRIES if isinstance(g["padding"], int) and g["kernel_size"] % 2], ids=str)
def test_subsampling_takes_the_centres(geometry):
    """A convolution that picks its centre tap is the oracle."""
    layer = nn.Conv1d(3, 3, **geometry, groups=3, bias=False)
    with torch.no_grad():
        layer.weight.zero_()[..., geometry["kernel_size"] // 2] = 1
    for n in (9, 12, 13):
        x = torch.randn(2, 3, n)
        assert torch.equal(replaced(layer, x, identity_template, downsampling="subsample")(x), layer(x))


def windows(x, axis, outputs):
    """Mean over the window around each centre: zeros before the start and in whole windows of padding, not past the end."""
    centre = 0.5 * axis.extent - axis.left
    start = int(centre - 0.5 * (axis.stride - 1))  # towards 0
    begun = start + outputs * axis.stride - len(x) < axis.stride
    means = []
    for p in range(outputs):
        taps = range(start + p * axis.stride, start + (p + 1) * axis.stride)
        taps = [t for t in taps if t < len(x) or not begun]
        means.append(np.mean([x[t] if 0 <= t < len(x) else 0.0 for t in taps]))
    return np.array(means)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_average_is_centred(geometry):
    layer = nn.Conv1d(1, 1, **geometry, bias=False)
    for n in (9, 10, 14):
        x = torch.randn(1, 1, n)
        new = replaced(layer, x, identity_template)(x)[0, 0].numpy()
        (axis,) = axes_of(layer)
        np.testing.assert_allclose(new, windows(x[0, 0].numpy(), axis, len(new)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strides", [(2, 2), (3, 1), (1, 4), (2, 3)])
def test_fast_pooling_is_pooling(strides):
    x = torch.randn(2, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    layer = nn.Conv2d(3, 3, strides, strides, bias=False)
    new = replaced(layer.double(), x, identity_template)
    assert torch.allclose(new(x), torch.nn.functional.avg_pool2d(x, strides))
    assert torch.autograd.gradcheck(new, x)
    last = x.detach().to(memory_format=torch.channels_last)
    assert torch.allclose(new(last), new(x))


def test_usual_stride_is_one_pooling():
    layer = nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False)
    for n in (8, 9):
        x = torch.randn(1, 4, n, n)
        expected = torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True)
        assert torch.allclose(replaced(layer, x, identity_template)(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"padding": 1}, {"padding": "same"}, {"padding": 2, "dilation": 2}, {"padding": "same", "dilation": 3}]
)
def test_nothing_around_a_plain_layer(options):
    layer = nn.Conv2d(4, 4, 3, **options, bias=False)
    template = nn.Identity()
    new = adapt(target_of(layer, (8, 8)), layer, lambda target: template)
    assert list(new.children()) == [new.templates]
    assert list(new.templates) == [template]


@pytest.mark.parametrize(("rank", "bias"), [(2, False), (1, True), (0, True), (0, False)])
@pytest.mark.parametrize(("c_in", "c_out"), [(8, 8), (8, 24), (24, 8), (12, 8), (8, 12)])
def test_cost_is_counted_exactly(rank, bias, c_in, c_out):
    size = (7, 9)[:rank]
    options = {"stride": 2, "padding": 1, "bias": bias}
    layer = {0: nn.Linear(c_in, c_out, bias=bias)}.get(rank)
    if layer is None:
        layer = (nn.Conv2d if rank == 2 else nn.Conv1d)(c_in, c_out, 3, **options)
    x = torch.randn(2, c_in, *(2 * n for n in size))
    assert layer(x).shape[2:] == size
    target = target_of(layer, size)
    new = adapt(target, layer, identity_template)
    with FlopCounterMode(display=False) as counter:
        y = new(x)
    assert y.shape == layer(x).shape
    assert sum(p.numel() for p in new.parameters()) == target.adapter.params
    assert counter.get_total_flops() == 2 * 2 * target.adapter.macs  # two samples
    whole = adapt(target, layer, same_template)
    template = sum(p.numel() for p in same_template(target).parameters())
    total = sum(p.numel() for p in whole.parameters())
    assert total == target.adapter.templates * template + target.adapter.params


def test_copies_and_splits():
    x = torch.randn(2, 6, 5)
    copies = replaced(nn.Conv1d(6, 12, 3, padding=1, bias=False), x)
    assert torch.allclose(copies(x), torch.cat([t(x) for t in copies.templates], 1))
    assert not torch.equal(copies.templates[0].weight, copies.templates[1].weight)
    splits = replaced(nn.Conv1d(6, 2, 3, padding=1, bias=False), x)
    expected = sum(t(part) for t, part in zip(splits.templates, x.split(2, 1), strict=True))
    assert torch.allclose(splits(x), expected)


def test_bias_is_added():
    layer = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 5, 5)
    new = replaced(layer, x, identity_template)
    assert torch.equal(new(x), x)
    torch.nn.init.constant_(new.bias, 2.0)
    assert torch.equal(new(x), x + 2)


LAYERS = {
    "same": nn.Conv2d(8, 8, 3, stride=2, padding=1),
    "copies": nn.Conv2d(8, 16, 3, padding=0),
    "splits": nn.Conv2d(16, 8, 3, padding=1),
    "projection": nn.Conv2d(12, 8, 5, stride=(3, 2), padding=4),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_works_with_torch(kind):
    layer = LAYERS[kind]
    x = torch.randn(2, layer.in_channels, 13, 14)
    new = replaced(layer, x)
    assert isinstance(new, AdaptedLayer)
    assert new.kind == kind
    y = new(x)
    y.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in new.parameters())
    other = copy.deepcopy(new)
    assert torch.equal(other(x), y)
    fresh = replaced(layer, x)
    fresh.load_state_dict(new.state_dict())
    assert torch.equal(fresh(x), y)
    assert torch.allclose(new(x.to(memory_format=torch.channels_last)), y, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert new(x).dtype == layer(x).dtype == torch.bfloat16
    compiled = torch.compile(new, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(x), y, atol=1e-5)
    larger = torch.randn(3, layer.in_channels, 17, 16)
    assert compiled(larger).shape == layer(larger).shape
    assert not [name for name in new.state_dict() if "resize" in name]


def test_bad_use():
    layer = nn.Conv1d(4, 4, 5, bias=False)
    new = replaced(layer, torch.zeros(1, 4, 8))
    with pytest.raises(KasError, match=r"input of size \[4\] is too small"):
        new(torch.zeros(1, 4, 4))
    with pytest.raises(KasError, match=r"downsampling='max'; expected one of average, subsample"):
        replaced(layer, torch.zeros(1, 4, 8), downsampling="max")
