"""Finding targets: what is found by default, by choice, and why the rest is not."""

import copy
from collections import Counter

import pytest
import torch
from replacement_networks import Residual, mlp
from torch import nn

from kas.language.errors import KasError
from kas.replacement import Placeholder, find_targets, survey
from kas.solvers.targets import Target


def names(targets):
    return [target.name for target in targets]


class Net(nn.Module):
    """A body between an image and ten classes; `forward` is given."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = forward

    def forward(self, x):
        return self.run(self, self.stem(x))


IMAGE = torch.zeros(2, 3, 9, 9)


def test_default_choice_in_execution_order():
    net = Net(
        lambda net, x: net.pointwise(net.first(net.depthwise(net.second(x)))),
        first=nn.Conv2d(8, 16, (1, 3), stride=(2, 1), padding="valid", dilation=(1, 2), bias=True),
        second=nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False),
        depthwise=nn.Conv2d(8, 8, 3, padding=1, groups=8),
        pointwise=nn.Conv2d(16, 4, 1),
        unused=nn.Conv2d(8, 8, 3),
    )
    assert find_targets(net, IMAGE) == [
        Target("second", 8, 8, (9, 9), groups=2),
        Target("first", 8, 16, (5, 5), (2, 1), (1, 3), dilation=(1, 2), bias=True),
    ]
    assert survey(net, IMAGE).excluded == {
        "stem": "stem (reads the network's input)",
        "depthwise": "depthwise (C_in/groups = 1)",
        "pointwise": "kernel size under 2",
        "unused": "never called",
    }


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"stem": True}, ["stem", "conv1", "conv2"]),
        ({"min_kernel": 1}, ["conv1", "conv2", "skip"]),
        ({"min_kernel": 4}, ["conv1"]),
        ({"names": "conv?"}, ["conv1", "conv2"]),
        ({"names": ["skip", "head"]}, ["skip", "head"]),
        ({"names": "*", "rank": 1}, ["stem", "conv1", "conv2", "skip"]),
        ({"names": "*", "types": nn.Linear}, ["head"]),
        ({"types": ["Conv1d", nn.Linear]}, ["conv1", "conv2", "head"]),
        ({"rank": 0}, ["head"]),
    ],
    ids=str,
)
def test_choices(options, found):
    assert names(find_targets(Residual(), torch.zeros(1, 2, 31), **options)) == found


def test_one_dimensional_sizes():
    conv1, conv2 = find_targets(Residual(), torch.zeros(1, 2, 31))
    assert conv1 == Target("conv1", 8, 16, (11,), 3, (5,), bias=True)
    assert conv2 == Target("conv2", 16, 16, (11,))


def test_linear_layers_by_type():
    targets = find_targets(mlp(), torch.zeros(2, 12), types=nn.Linear)
    assert targets == [Target(n, i, o, (), kernel_size=(), bias=True) for n, i, o in
                       [("0", 12, 24), ("2", 24, 24), ("5", 24, 10)]]  # fmt: skip
    assert find_targets(mlp(), torch.zeros(2, 12), rank=0) == targets


def test_placeholders_come_alone_unless_others_are_chosen():
    net = Net(lambda net, x: net.here(net.there(x)), there=nn.Conv2d(8, 8, 3), here=Placeholder(8, 12, stride=2))
    assert find_targets(net, IMAGE) == [Target("here", 8, 12, (4, 4), 2)]
    assert survey(net, IMAGE).excluded == {"stem": "beside Placeholders", "there": "beside Placeholders"}
    assert names(find_targets(net, IMAGE, names="*here")) == ["there", "here"]
    assert names(find_targets(net, IMAGE, types="Conv2d")) == ["there"]


class SamePadding(nn.Conv2d):
    """Pads by itself, as networks converted from TensorFlow do."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))


def tied_pair():
    first, second = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
    second.weight = first.weight
    return {"a": first, "b": second}


@pytest.mark.parametrize(
    ("layers", "forward", "reason"),
    [
        ({"a": nn.Conv2d(8, 8, 3, padding=1)}, lambda net, x: net.a(net.a(x)), "called more than once"),
        ({"a": nn.Conv2d(8, 8, 3)}, lambda net, x: net.a(net.a(x)), "called more than once, with different sizes"),
        ({"a": nn.ConvTranspose2d(8, 8, 3)}, lambda net, x: net.a(x), "transposed or 3-D convolution"),
        ({"a": nn.Conv3d(8, 8, 3, padding=1)}, lambda net, x: net.a(x[..., None]), "transposed or 3-D convolution"),
        ({"a": nn.Conv2d(8, 8, 3)}, lambda net, x: net.a(x[0]), "input or output is not one tensor [N, C, ...]"),
        ({"a": SamePadding(8, 8, 3)}, lambda net, x: net.a(x), "output size is not that of its stride and padding"),
        (tied_pair(), lambda net, x: net.b(net.a(x)), "weight shared with another layer"),
        ({"a": nn.Linear(9, 9)}, lambda net, x: net.a(x), "linear layer (only by name or type)"),
    ],
)
def test_reasons_against(layers, forward, reason):
    net = Net(forward, **layers)
    excluded = survey(net, IMAGE).excluded
    assert {excluded.pop(name) for name in layers} == {reason}
    assert list(excluded) == ["stem"]
    with pytest.raises(KasError, match="no layer to replace in Net") as error:
        find_targets(net, IMAGE)
    assert f"{reason}: {len(layers)}" in str(error.value)
    assert "stem (reads the network's input): 1" in str(error.value)


def test_a_linear_layer_over_sequences_is_no_target():
    net = Net(lambda net, x: net.a(x), a=nn.Linear(9, 9))
    assert survey(net, IMAGE, names="a").excluded["a"] == "input or output is not one tensor [N, C, ...]"


def test_layers_that_read_the_input_are_the_stem():
    class TwoStems(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.body = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

        def forward(self, x, scale=1):
            return self.body(self.left(x) + self.right(x[:, :]) * scale)

    assert names(find_targets(TwoStems(), {"x": IMAGE, "scale": 2})) == ["body"]
    assert names(find_targets(TwoStems(), (IMAGE, 2))) == ["body"]
    scaled = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    assert names(find_targets(scaled, IMAGE)) == ["2"]


def test_model_is_untouched():
    net = Residual()
    net.conv1.eval()
    net.stem.register_forward_hook(lambda *args: None)
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    hooks = [list(m._forward_hooks) for m in net.modules()]
    find_targets(net, torch.randn(4, 2, 31))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert [list(m._forward_hooks) for m in net.modules()] == hooks


def test_random_numbers_stay_the_same():
    net = Net(lambda net, x: net.a(x + torch.rand_like(x)), a=nn.Conv2d(8, 8, 3))
    state = torch.get_rng_state()
    find_targets(net, IMAGE)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": []}, "names is empty"),
        ({"names": [3]}, r"names=\[3\]; expected glob patterns"),
        ({"types": [3]}, r"types=\[3\]; expected module classes"),
        ({"rank": 3}, r"rank=3; expected 2 \(images\)"),
        ({"names": "layer9*"}, r"Excluded: name does not match: 5 "),
        ({"types": "LSTM"}, r"no module of Residual is of the type 'LSTM' \(it has BatchNorm1d, Conv1d, Linear, Residual\)"),
        ({"types": ["Conv1d", "Batchnorm1D"]}, r"type 'Batchnorm1D'; did you mean BatchNorm1d\? \(it has"),
        ({"types": "BatchNorm1d"}, r"layers and 1 blocks of that choice.*has no multiply-adds: 1"),
        ({"adapter": "splits"}, r"adapter='splits'; expected one of copies, projection"),
        ({"norm": "group"}, r"norm='group'; expected one of auto, batch, layer, none"),
    ],
    ids=str,
)
def test_bad_choices(options, message):
    with pytest.raises(KasError, match=message):
        find_targets(Residual(), torch.zeros(1, 2, 31), **options)


def test_bad_examples():
    with pytest.raises(KasError, match=r"Residual does not run on the example input \[1, 3, 8\]: RuntimeError"):
        find_targets(Residual(), torch.zeros(1, 3, 8))
    with pytest.raises(KasError, match="the example input is a int; expected a tensor"):
        find_targets(Residual(), 3)
    with pytest.raises(KasError, match="holds no tensor"):
        find_targets(Residual(), ())


def test_message_counts_each_layer_once():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, groups=8))
    with pytest.raises(KasError) as error:
        find_targets(net, IMAGE)
    text = str(error.value)
    assert "in Sequential (input [2, 3, 9, 9]), which has 4 convolutions and linear layers" in text
    counts = Counter(survey(net, IMAGE).excluded.values())
    assert counts == {"kernel size under 2": 2, "depthwise (C_in/groups = 1)": 1, "stem (reads the network's input)": 1}
    assert all(f"{reason}: {count}" in text for reason, count in counts.items())
    assert "never called" in text
    assert "names=['2']" in text
