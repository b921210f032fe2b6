"""Whole blocks as targets: what is found, what is said against the rest, and what stands in their place."""

import copy

import pytest
import torch
from replacement_networks import identity_template, same_template
from torch import Tensor, nn

from kas import zoo
from kas.language.errors import KasError
from kas.replacement import find_targets, fuse, replace, replace_layers, survey
from kas.replacement.adapted_blocks import AdaptedAttention, AdaptedBlock, ChannelNorm
from kas.solvers import Target

IMAGE = torch.zeros(2, 3, 9, 9)


class Block(nn.Module):
    """Two convolutions and a norm; the size changes as `stride` and `padding` say."""

    def __init__(self, c_in=8, c_out=8, *, stride=1, k=3, padding=1, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c_in, 6, k, stride, padding), nn.Conv2d(6, c_out, 1, bias=False)
        self.norm = norm(c_out)

    def forward(self, x):
        return self.norm(self.conv2(self.conv1(x).relu()))


class Net(nn.Module):
    """A stem of 8 channels, one module `block` and how it is called; a head."""

    def __init__(self, block, call=lambda block, x: block(x)):
        super().__init__()
        self.stem, self.block, self.call = nn.Conv2d(3, 8, 3, padding=1), block, call

    def forward(self, x):
        return self.call(self.block, self.stem(x))


class Concatenates(Block):
    def forward(self, x):
        return super().forward(torch.cat(x, 1) if isinstance(x, list) else x)


class Tokens(nn.Module):
    """A part of a transformer, on image patches as tokens; `call` says how."""

    def __init__(self, part, call=lambda part, x: part(x)):
        super().__init__()
        self.patches, self.part, self.call = nn.Conv2d(3, 12, 3, 3), part, call

    def forward(self, x):
        return self.call(self.part, self.patches(x).flatten(2).transpose(1, 2))


def mlp():
    return nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))


def test_a_block_is_described():
    net = Net(Block(8, 16, stride=2))
    macs = 25 * (9 * 8 * 6 + 6 * 16)
    params = 9 * 8 * 6 + 6 + 6 * 16 + 2 * 16
    block = {"block": "Block", "block_macs": macs, "block_params": params, "norm": "batch"}
    (target,) = find_targets(net, IMAGE, types="Block")
    assert target == Target("block", 8, 16, (5, 5), 2, **block)
    assert (target.macs, target.params, target.kernel_size) == (macs, params, (1, 1))
    assert find_targets(net, IMAGE, names="block", adapter="projection", norm="layer") == [
        Target("block", 8, 16, (5, 5), 2, prefer="projection", **{**block, "norm": "layer"})
    ]
    assert [target.name for target in find_targets(net, IMAGE)] == ["block.conv1"]


@pytest.mark.parametrize(
    ("block", "size", "stride", "rounding"),
    [
        (lambda: Block(stride=2), (9, 9), 2, "up"),
        (lambda: Block(stride=2, k=2, padding=0), (9, 9), 2, "down"),
        (lambda: Block(stride=2, k=2, padding=0), (8, 8), 2, "down"),
        (lambda: Block(stride=(1, 3)), (7, 8), (1, 3), "up"),
        (lambda: Block(stride=2), (1, 1), 2, "up"),
        (lambda: Block(), (1, 1), 1, "up"),
        (lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(8, 8, 3, padding=1), nn.Unflatten(2, (4, 4))), (4, 4), 1, "up"),
    ],
)
def test_sizes_give_the_stride(block, size, stride, rounding):
    net = Net(block())
    (target,) = find_targets(net, torch.zeros(2, 3, *size), names="block")
    assert (target.stride, target.rounding) == (stride, rounding)
    new = replace_layers(net, [target], identity_template)
    for more in range(3) if isinstance(net.block, Block) else [0]:
        x = torch.randn(2, 3, *(n + more for n in size))
        assert new(x).shape == net(x).shape


@pytest.mark.parametrize(
    ("channels", "call"),
    [
        (8, lambda block, x: block(x)),
        (8, lambda block, x: block([x])),
        (20, lambda block, x: block([x, x[:, :4], x])),
        (20, lambda block, x: block((x, x[:, :4], x)) if isinstance(block, AdaptedBlock) else block([x, x[:, :4], x])),
    ],
)
def test_a_list_that_is_concatenated(channels, call):
    net = Net(Concatenates(channels, 16), call)
    (target,) = find_targets(net, IMAGE, types="Concatenates")
    assert (target.in_channels, target.out_channels) == (channels, 16)
    x = torch.randn(2, 3, 9, 9)
    assert replace_layers(net, [target], same_template)(x).shape == net(x).shape


@pytest.mark.parametrize(
    ("part", "norm", "module"),
    [
        (mlp, "layer", ChannelNorm),
        (lambda: mlp()[1:], "none", nn.Identity),
        (lambda: nn.TransformerEncoderLayer(12, 2, 20, batch_first=True), "layer", ChannelNorm),
        (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(12, 2, 20, batch_first=True), 2), "layer", ChannelNorm),
    ],
)
def test_tokens_are_of_rank_1_with_the_channels_last(part, norm, module):
    net = Tokens(part())
    (target,) = find_targets(net, IMAGE, names="part")
    assert (target.in_channels, target.out_channels, target.size, target.tokens) == (12, 12, (9,), True)
    assert target.norm == norm
    new = replace(net, zoo.get("depthwise_separable1d"), IMAGE, [target])
    assert isinstance(new.part.norm, module)
    x = torch.randn(2, 3, 9, 9)
    assert new(x).shape == net(x).shape
    kernel, tokens = new.part.layer, torch.randn(2, 9, 12)
    assert torch.allclose(new.part(tokens), new.part.norm(kernel(tokens.transpose(1, 2))).transpose(1, 2))


def test_a_map_of_tokens_is_of_rank_2():
    class Merge(nn.Module):
        def __init__(self):
            super().__init__()
            self.reduce = nn.Linear(4 * 8, 16)

        def forward(self, x):
            return self.reduce(torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1))

    net = Net(Merge(), lambda block, x: block(x[..., :8, :8].movedim(1, -1)).movedim(-1, 1))
    (target,) = find_targets(net, IMAGE, types="Merge")
    assert (target.in_channels, target.out_channels, target.size, target.stride, target.tokens) == (8, 16, (4, 4), 2, True)
    assert replace_layers(net, [target], same_template)(torch.randn(2, 3, 9, 9)).shape == (2, 16, 4, 4)


def test_vectors_are_of_rank_0():
    net = nn.Sequential(nn.Linear(6, 12), nn.Sequential(nn.Linear(12, 40), nn.BatchNorm1d(40), nn.Linear(40, 24)))
    (target,) = find_targets(net, torch.zeros(2, 6), names="1")
    assert target == Target("1", 12, 24, (), block="Sequential", block_macs=1440, block_params=1584, norm="batch")
    assert replace(net, zoo.get("linear"), torch.zeros(2, 6), [target])(torch.randn(2, 6)).shape == (2, 24)


SEVERAL, OUTPUT = "takes more than one tensor", "output is not one tensor"
MAP = "maps no [N, C, ...] or tokens [N, ..., C] to the same, with the batch first"


class Odd(Block):
    """What is wrong with it is in its class or its call."""

    def forward(self, x, other=None, *, flag=False, result=lambda y: y):
        return result(super().forward(x))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda block, x: x, "never called"),
        (lambda block, x: block(block(x)), "called more than once"),
        (lambda block, x: block(block(x)[..., 1:]), "called more than once, with different sizes"),
        (lambda block, x: block(x, x + 1), SEVERAL),
        (lambda block, x: block(x, other=x.clone()), SEVERAL),
        (lambda block, x: block(x, 0.5), SEVERAL),
        (lambda block, x: block(x, result=lambda y: (y,))[0], SEVERAL),
        (lambda block, x: block(x.repeat(3, 1, 1, 1))[:2], MAP),
    ],
)
def test_reasons_against_calls(call, reason):
    found = survey(Net(Odd(), call), IMAGE, types="Odd")
    assert (found.targets, found.excluded["block"]) == ([], reason)


@pytest.mark.parametrize("call", [lambda block, x: block(x, x), lambda block, x: block(x, None, flag=True)])
def test_what_does_not_matter_is_left_out(call):
    net = Net(Odd(), call)
    new = replace_layers(net, find_targets(net, IMAGE, types="Odd"), same_template)
    assert new(IMAGE).shape == net(IMAGE).shape
    with pytest.raises(KasError, match="the block that a kernel replaced here took one tensor; now another comes with it"):
        new.block(IMAGE, other=IMAGE + 1)


class Gives(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.body, self.result = nn.Conv2d(8, 8, 3, padding=1), result

    def forward(self, x):
        return self.result(self.body(x))


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Gives(lambda y: (y, y)), OUTPUT),
        (Gives(lambda y: {"out": y}), OUTPUT),
        (Gives(lambda y: y.mean((2, 3))), MAP),
        (Gives(lambda y: y[..., 1:-1]), "output size is not that of its input over a whole stride"),
        (nn.Sequential(nn.Upsample(scale_factor=2)), "output size is not that of its input over a whole stride"),
        (nn.MaxPool2d(2), "has no multiply-adds"),
    ],
)
def test_reasons_against_blocks(block, reason):
    found = survey(Net(block), IMAGE, names="block")
    assert (found.targets, found.excluded["block"]) == ([], reason)


def test_shared_weights():
    net = Net(nn.Sequential(Block(), Block()))
    net.block[1].conv1.weight = net.block[0].conv1.weight
    assert survey(net, IMAGE, types="Block").excluded["block.0"] == "weight shared with another layer"
    assert [target.name for target in find_targets(net, IMAGE, types="Sequential")] == ["block"]


def test_the_outermost_that_can_be_replaced_wins():
    net = Net(nn.Sequential(nn.Sequential(Block(), Block()), Odd()), lambda block, x: block[1](block[0](x), x + 1))
    found = survey(net, IMAGE, names="block.*")
    assert [target.name for target in found.targets] == ["block.0", "block.1.conv1", "block.1.conv2"]
    assert found.excluded["block.0.1"] == found.excluded["block.0.0.conv1"] == "inside a block that is replaced"
    assert found.excluded["block.1"] == SEVERAL
    assert [t.name for t in find_targets(net, IMAGE, types=["Block", "Conv2d"])] == ["block.0.0", "block.0.1", "block.1.conv1"]


def test_rank_chooses_blocks():
    net = nn.Sequential(Net(Block()), nn.Flatten(), nn.Sequential(nn.Linear(8 * 81, 8)))
    assert [t.name for t in find_targets(net, IMAGE, types=["Block", "Sequential"], rank=0)] == ["2"]
    assert survey(net, IMAGE, types=["Block", "Sequential"], rank=0).excluded["0.block"] == "other rank"


def attention(**options):
    return nn.MultiheadAttention(12, 3, **{"batch_first": True, **options})


def test_attention_of_a_tensor_with_itself():
    net = Tokens(attention(), lambda part, x: part(x, x, x, need_weights=False)[0])
    (target,) = find_targets(net, IMAGE, types=nn.MultiheadAttention)
    assert (target.tokens, target.size, target.norm) == (True, (9,), "none")
    assert target.macs == 9 * 4 * 12 * 12 + 2 * 9 * 9 * 12
    new = replace(net, zoo.get("conv1d3"), IMAGE, [target])
    assert isinstance(new.part, AdaptedAttention)
    assert new(IMAGE).shape == net(IMAGE).shape
    x = torch.randn(2, 9, 12)
    assert new.part(x, x, x)[1] is None
    with pytest.raises(KasError, match="took one tensor"):
        new.part(x, x, x, attn_mask=torch.zeros(9, 9))


@pytest.mark.parametrize(
    ("part", "call", "reason"),
    [
        (attention(), lambda part, x: part(x, x + 1, x)[0], SEVERAL),
        (attention(), lambda part, x: part(x, x, x, attn_mask=torch.zeros(9, 9))[0], SEVERAL),
        (attention(batch_first=False), lambda part, x: part(x, x, x)[0], MAP),
    ],
)
def test_other_attention_is_none(part, call, reason):
    assert survey(Tokens(part, call), IMAGE, names="part").excluded["part"] == reason


@pytest.mark.parametrize("types", ["TransformerEncoderLayer", "MultiheadAttention"])
def test_the_transformer_of_torch(types):
    """It asks the parts of its layers for their weights, to call a fused form."""
    layer = nn.TransformerEncoderLayer(12, 2, 20, batch_first=True)
    net = Tokens(nn.TransformerEncoder(layer, 2)).eval()
    targets = find_targets(net, IMAGE, types=types)
    assert len(targets) == 2
    new = replace_layers(net, targets, same_template)
    with torch.no_grad():
        assert new(IMAGE).shape == new.train()(IMAGE).shape == (2, 9, 12)


class RootMeanSquareNorm(nn.Module):
    """A norm that is not one of torch's."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return self.weight * x


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        (nn.BatchNorm2d, "batch"),
        (lambda c: nn.GroupNorm(2, c), "layer"),
        (RootMeanSquareNorm, "layer"),
        (lambda c: nn.Identity(), "none"),
        (lambda c: nn.utils.parametrizations.weight_norm(nn.Conv2d(c, c, 1)), "none"),
    ],
)
def test_the_norm_behind_is_of_the_kind_in_the_block(norm, kind):
    net = Net(Block(norm=norm))
    assert [target.norm for target in find_targets(net, IMAGE, types="Block")] == [kind]


def test_channel_norm_is_a_layer_norm_at_each_position():
    norm, x = ChannelNorm(5), torch.randn(2, 5, 3, 4)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    expected = nn.functional.layer_norm(x.permute(0, 2, 3, 1), (5,), norm.weight, norm.bias)
    assert torch.allclose(norm(x), expected.permute(0, 3, 1, 2))


def test_dtype_mode_and_memory_format_of_the_block():
    net = Net(Block(8, 16)).to(torch.bfloat16, memory_format=torch.channels_last).eval()
    x = torch.randn(2, 3, 9, 9, dtype=torch.bfloat16)
    new = replace_layers(net, find_targets(net, x, types="Block", adapter="projection"), same_template)
    assert {parameter.dtype for parameter in new.parameters()} == {torch.bfloat16}
    assert not new.block.training
    assert new.block.layer.templates[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert new(x).dtype == torch.bfloat16
    assert copy.deepcopy(new)(x).equal(new(x))


@pytest.mark.parametrize("adapter", ["copies", "projection"])
def test_the_norm_is_fused_into_the_kernel(adapter):
    net = Net(Block(8, 16, stride=2))
    x = torch.randn(4, 3, 9, 9)
    new = replace(net, zoo.get("conv3x3"), x, find_targets(net, x, types="Block", adapter=adapter))
    new(x)  # running statistics
    fused = fuse(new.eval(), x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert torch.allclose(fused(x), new(x), atol=1e-5)


def test_a_target_must_be_that_block():
    (target,) = find_targets(Net(Block()), IMAGE, types="Block")
    with pytest.raises(KasError, match="replace: 'block' is a Odd of 534 parameters, its target a Block of 502"):
        replace_layers(Net(Odd(8, 12)), [target], same_template)


def test_gradients_reach_every_new_parameter():
    net = Net(Block(8, 16, stride=2))
    x: Tensor = torch.randn(4, 3, 9, 9)
    new = replace_layers(net, find_targets(net, x, types="Block", adapter="projection"), same_template)
    new(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in new.parameters())
    assert {name for name, _ in new.block.named_parameters()} == {
        "layer.projection.weight", "layer.templates.0.weight", "norm.weight", "norm.bias",
    }  # fmt: skip
