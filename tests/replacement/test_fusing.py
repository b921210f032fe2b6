"""Whole networks in their inference form: same outputs, BatchNorms gone where they can go, the original untouched."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kas
from kas import KasError, zoo
from kas.lowering import build
from kas.replacement.adapters import AdaptedLayer, adapt
from kas.replacement.fusing.pairs import followers
from kas.replacement.layers import describe

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def shaken(model):
    """Statistics and weights as after some training; no scale one, no bias zero."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, NORMS):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def apart(model, fused, x):
    with torch.no_grad():
        a, b = copy.deepcopy(model).eval()(x), fused(x)
    assert a.shape == b.shape
    return float((a - b).abs().max() / a.abs().max())


def fused(model, x, norms=0):
    """The inference form, seen to be equal in float32 and to have so many BatchNorms left."""
    before = copy.deepcopy(model.state_dict())
    training = model.training
    made = kas.fuse(model, x)
    assert apart(model, made, x) < 1e-5
    assert sum(isinstance(module, NORMS) for module in made.modules()) == norms
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not {p.data_ptr() for p in made.parameters()} & {p.data_ptr() for p in model.parameters()}
    return made


def network(layer, norm=True, outputs=16):
    return nn.Sequential(layer, nn.BatchNorm2d(outputs) if norm else nn.Identity(), nn.ReLU())


def adapted(name, channels=(16, 16), size=(12, 10), downsampling="subsample", groups=1, **options):
    """An adapter with a known kernel in place of a convolution; the size is that of its input."""
    layer = nn.Conv2d(*channels, options.pop("kernel_size", 3), padding=options.pop("padding", 1), **options)
    outputs = layer(torch.zeros(1, channels[0], *size)).shape[2:]
    kernel = zoo.get(name)

    def template(target):
        values = dict.fromkeys(kernel.variables, 8)
        return build(kernel, channels=target.channels, size=target.size, groups=groups, values=values)

    return adapt(describe("layer", layer, tuple(outputs)), layer, template, downsampling)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(3, 16, 5, dilation=2, padding_mode="reflect", padding=2),
        nn.Conv2d(4, 16, 3, groups=2),
        kas.Placeholder(3, 16, stride=2),
    ],
)
def test_plain_layers(layer):
    model = shaken(network(layer))
    made = fused(model, torch.randn(2, layer.in_channels, 17, 16))
    assert [part.name for part in made.fused] == ["0"]


def test_layers_of_other_ranks():
    x = torch.randn(3, 4, 20)
    made = fused(
        shaken(nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), nn.Flatten(), nn.Linear(108, 5), nn.BatchNorm1d(5))), x
    )
    assert [part.name for part in made.fused] == ["0", "3"]
    fused(shaken(nn.Sequential(kas.Placeholder(4, 6, rank=0), nn.BatchNorm1d(6))), torch.randn(8, 4))
    kernel = build(zoo.get("conv1d3"), channels=4, size=(20,))
    made = fused(shaken(nn.Sequential(kernel, nn.BatchNorm1d(4))), x)
    assert len(made.fused) == 1


def test_a_kernel_takes_the_norm_behind_it():
    kernel = build(zoo.get("repvgg"), channels=16, size=(12, 10))
    made = fused(shaken(network(kernel)), torch.randn(2, 16, 12, 10))
    assert (made.fused[0].before, made.fused[0].after) == ("conv fc add add", "conv bias")
    assert sum(p.numel() for p in made.parameters()) == 16 * 16 * 9 + 16


def test_a_norm_behind_what_is_not_linear_stays():
    kernel = build(zoo.get("involution"), channels=16, size=(12, 10))
    fused(shaken(network(kernel)), torch.randn(2, 16, 12, 10), norms=1)


@pytest.mark.parametrize("downsampling", ["average", "subsample"])
@pytest.mark.parametrize(
    ("channels", "options"),
    [
        ((16, 16), {"stride": 2, "bias": False}),
        ((16, 32), {"stride": 2}),
        ((32, 16), {"bias": True}),
        ((6, 16), {"stride": (2, 1)}),
        ((8, 16), {"padding": 0}),
        ((16, 16), {"stride": 3, "kernel_size": 2, "padding": 0}),
        ((12, 16), {"kernel_size": 5, "padding": 2, "dilation": 1, "bias": True, "stride": 2}),
    ],
)
@pytest.mark.parametrize("name", ["repvgg", "grouped3x3", "depthwise3x3", "ghost"])
def test_adapters(name, channels, options, downsampling):
    """Copies, splits, projections; strides and paddings; even and odd sizes."""
    layer = adapted(name, channels, downsampling=downsampling, groups=2, **options)
    model = shaken(network(layer, outputs=channels[1]))
    x = torch.randn(2, channels[0], 12, 10)
    made = fused(model, x)
    for size in ((24, 10), (13, 11), (12, 21)):
        other = torch.randn(2, channels[0], *size)
        assert apart(model, made, other) < 1e-5


def test_an_adapter_of_one_convolution_becomes_it():
    model = shaken(network(adapted("repvgg", (6, 16), stride=2)))
    made = fused(model, torch.randn(2, 6, 12, 10))
    (layer,) = [module for module in made.modules() if isinstance(module, (nn.Conv2d, AdaptedLayer))]
    assert isinstance(layer, nn.Conv2d)
    assert (layer.in_channels, layer.out_channels, layer.stride, layer.dilation) == (6, 16, (2, 2), (2, 2))
    assert "stride" in str(made.fused[-1])


def test_a_projection_from_many_channels_stays():
    model = shaken(network(adapted("conv3x3", (120, 16))))
    made = fused(model, torch.randn(2, 120, 12, 10))
    (layer,) = [module for module in made.modules() if isinstance(module, AdaptedLayer)]
    assert layer.projection is not None


class Tied(nn.Module):
    """Where a BatchNorm must stay: its layer has another reader, or runs twice, or its weight is used elsewhere."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        if self.how == "read":
            return self.norm(y) + y
        if self.how == "twice":
            return self.norm(self.conv(y))
        if self.how == "norm twice":
            return self.norm(self.norm(y))
        return F.conv2d(self.norm(y), self.conv.weight)


@pytest.mark.parametrize("how", ["read", "twice", "norm twice", "weight"])
def test_norms_that_must_stay(how):
    made = fused(shaken(Tied(how)), torch.randn(2, 4, 8, 8), norms=1)
    assert made.fused == ()


def test_norms_without_fixed_statistics_and_layers_with_hooks_stay():
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    fused(model, torch.randn(2, 4, 8, 8), norms=1)
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    model[0].register_forward_hook(lambda module, args, result: 2 * result)
    fused(shaken(model), torch.randn(2, 4, 8, 8), norms=1)
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.BatchNorm2d(4))
    assert followers(model)[0] == {}


def test_norms_without_affine():
    fused(shaken(nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False))), torch.randn(2, 4, 8, 8))
    kernel = build(zoo.get("conv3x3"), channels=4, size=(8, 8))
    fused(shaken(nn.Sequential(kernel, nn.BatchNorm2d(4, affine=False))), torch.randn(2, 4, 8, 8))


class Untraceable(nn.Module):
    """Its forward looks at values."""

    def __init__(self, read_twice=False):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.read_twice = read_twice

    def forward(self, x):
        y = self.block(x) if x.sum() > -1e9 else x
        return y + self.block[0](x) if self.read_twice else y


def test_a_network_that_cannot_be_traced():
    model = shaken(Untraceable())
    fused(model, torch.randn(2, 4, 8, 8))
    with pytest.raises(KasError, match=r"fuse: Untraceable cannot be traced .* fuse\(module, example_input\)"):
        kas.fuse(model)
    with pytest.raises(KasError, match=r"Untraceable changes by .* may read more than the layer before it"):
        kas.fuse(shaken(Untraceable(read_twice=True)), torch.randn(2, 4, 8, 8))


@pytest.mark.parametrize("name", ["repvgg", "depthwise_separable", "poolformer", "squeeze_excitation", "inverted_residual"])
def test_a_replaced_network(name):
    from kas.evaluation.models.small_resnet import small_resnet

    x = torch.randn(2, 3, 16, 16)
    net = small_resnet(num_classes=5, input_shape=(3, 16, 16), width=8)
    model = shaken(kas.replace(net, zoo.get(name), x))
    made = kas.fuse(model)
    assert apart(model, made, x) < 1e-5
    assert len(made.fused) >= 3
    exported = torch.export.export(made, (x,))
    torch.testing.assert_close(exported.module()(x), made(x), rtol=1e-5, atol=1e-4)  # float32, outputs of about 5
    twin = copy.deepcopy(made)
    twin.load_state_dict(made.state_dict())
    torch.testing.assert_close(twin(x), made(x), rtol=0, atol=0)


def test_original_networks_lose_all_their_norms():
    from torchvision.models import resnet18

    fused(shaken(resnet18(num_classes=3)), torch.randn(1, 3, 40, 40))


def test_keyword_examples_and_results_of_several_tensors():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, image, factor=1.0):
            y = self.norm(self.conv(image))
            return {"y": y, "scaled": (factor * y,)}

    model = shaken(Two())
    x = torch.randn(2, 3, 8, 8)
    made = kas.fuse(model, {"image": x, "factor": 2.0})
    assert isinstance(made.norm, nn.Identity)
    torch.testing.assert_close(made(x)["y"], model.eval()(x)["y"], rtol=1e-5, atol=1e-5)
