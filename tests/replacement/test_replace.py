"""The replaced network, the placeholder, and bad use."""

import copy

import pytest
import torch
from replacement_networks import Residual, identity_template, mlp, same_template
from torch import nn

from kas.language.errors import KasError
from kas.replacement import Placeholder, find_targets, replace_layers
from kas.solvers.targets import Target

SEQUENCE = torch.randn(4, 2, 31)


@pytest.mark.parametrize(
    ("model", "sizes", "options"),
    [(Residual(), [(2, 31), (2, 32), (2, 50)], {}), (mlp(), [(12,)], {"types": nn.Linear})],
)
def test_small_networks(model, sizes, options):
    targets = find_targets(model, torch.randn(4, *sizes[0]), **options)
    new = replace_layers(model, targets, same_template)
    for size in sizes:
        x = torch.randn(4, *size)
        assert new(x).shape == model(x).shape
        new(x).sum().backward()
    assert all(p.grad is not None for p in new.parameters())


def test_modes_dtype_and_frozen_parts_follow():
    model = Residual().to(torch.float64)
    model.conv1.eval()
    model.stem.weight.requires_grad_(False)
    new = replace_layers(model, find_targets(model, SEQUENCE.double()), same_template)
    assert [new.conv1.training, new.conv2.training, new.training] == [False, True, True]
    assert {p.dtype for p in new.parameters()} == {torch.float64}
    assert not new.stem.weight.requires_grad
    assert new(SEQUENCE.double()).dtype == torch.float64


def test_channels_last_networks_stay_so():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)).to(memory_format=torch.channels_last)
    new = replace_layers(model, find_targets(model, torch.zeros(1, 3, 8, 8)), same_template)
    weight = new[1].templates[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_every_reference_to_a_layer_is_replaced():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    model.listed = [model[1]]
    new = replace_layers(model, find_targets(model, torch.zeros(1, 3, 8, 8)), same_template)
    assert new.listed[0] is new[1]
    assert model.listed[0] is model[1]
    assert not isinstance(new[1], type(model[1]))


def test_the_original_is_untouched():
    model = Residual()
    before = copy.deepcopy(model.state_dict())
    layers = dict(model.named_modules())
    new = replace_layers(model, find_targets(model, SEQUENCE), same_template)
    new(SEQUENCE).sum().backward()
    assert dict(model.named_modules()) == layers
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_model_that_is_one_layer():
    model = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    (target,) = find_targets(model, torch.zeros(1, 4, 8, 8), names="*")
    assert target.name == ""
    new = replace_layers(model, [target], identity_template)
    assert isinstance(new.templates[0], nn.Identity)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target("conv9", 8, 16, (11,)), "Residual has no module 'conv9'"),
        (Target("norm", 8, 8, (11,)), "'norm' is a BatchNorm1d; expected a Conv1d"),
        (Target("conv2", 16, 16, (11, 11)), "'conv2' has rank 1, its target rank 2"),
        (
            Target("conv2", 16, 32, (11,)),
            r"the model's layer is Target\('conv2', 16, 16, \(11,\)\), not Target\('conv2', 16, 32",
        ),
    ],
)
def test_wrong_targets(target, message):
    with pytest.raises(KasError, match=message):
        replace_layers(Residual(), [target], same_template)


def test_no_or_repeated_targets():
    target = Target("conv2", 16, 16, (11,))
    with pytest.raises(KasError, match="no targets; find_targets"):
        replace_layers(Residual(), [], same_template)
    with pytest.raises(KasError, match="targets of the same name"):
        replace_layers(Residual(), [target, target], same_template)


@pytest.mark.parametrize(
    ("rank", "kernel_size", "stride", "shape", "expected"),
    [
        (2, 3, 1, (7, 8), (7, 8)),
        (2, (1, 5), (2, 3), (7, 8), (4, 3)),
        (1, 7, 2, (9,), (5,)),
        (0, 3, 1, (), ()),
    ],
)
def test_placeholder(rank, kernel_size, stride, shape, expected):
    layer = Placeholder(4, 6, kernel_size, stride, rank=rank)
    x = torch.randn(2, 4, *shape)
    assert layer(x).shape == (2, 6, *expected)
    assert not [name for name, _ in layer.named_parameters() if name != "weight"]
    (target,) = find_targets(layer, x)
    assert (target.rank, target.size, target.params) == (rank, expected, layer.weight.numel())
    assert replace_layers(layer, [target], same_template)(x).shape == (2, 6, *expected)
    assert "6, kernel_size=" in repr(layer)


def test_placeholder_is_a_plain_convolution():
    layer, conv = Placeholder(4, 6, stride=2), nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
    conv.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 9, 9)
    assert torch.equal(layer(x), conv(x))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4, 4, 2), {}, "kernel_size=2; same padding needs odd numbers"),
        ((4, 4, (3, 3)), {"rank": 1}, r"kernel_size=\(3, 3\); expected 1 numbers"),
        ((0, 4), {}, "0 → 4 channels"),
        ((4, 4), {"rank": 3}, "rank=3; expected 2"),
        ((4, 4, 3, 0), {}, "stride=0; expected 2 numbers of at least 1"),
    ],
)
def test_bad_placeholders(arguments, options, message):
    with pytest.raises(KasError, match=message):
        Placeholder(*arguments, **options)
