"""Blocks of torchvision's networks, at small depth: found, replaced, trained; all other weights kept, the cost as it says."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from torchvision.models import convnext, efficientnet
from torchvision.models import mobilenetv3 as mobilenet

from kas.replacement import find_targets, replace_layers


def inverted():
    rows = [(8, 3, 16, 8, True, "RE", 1, 1), (8, 3, 24, 16, False, "HS", 2, 1)]
    settings = [mobilenet.InvertedResidualConfig(*row, 1.0) for row in rows]
    return models.MobileNetV3(settings, 32, num_classes=10)


def fused():
    settings = [efficientnet.FusedMBConvConfig(2, 3, 2, 8, 16, 1), efficientnet.MBConvConfig(4, 3, 2, 16, 24, 2)]
    return models.EfficientNet(settings, 0.1, num_classes=10)


def next_blocks():
    return models.ConvNeXt([convnext.CNBlockConfig(8, 16, 1), convnext.CNBlockConfig(16, None, 2)], num_classes=10)


NETWORKS = {
    "basic block": (lambda: models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], 10), "BasicBlock", 4, "batch"),
    "bottleneck": (
        lambda: models.ResNet(models.resnet.Bottleneck, [1, 1, 1, 1], 10, groups=4, width_per_group=4),
        "Bottleneck", 4, "batch",
    ),
    "dense layer": (lambda: models.DenseNet(8, (2, 2), 16, num_classes=10), "_DenseLayer", 4, "batch"),
    "dense block": (lambda: models.DenseNet(8, (2, 2), 16, num_classes=10), "_DenseBlock", 2, "batch"),
    "inverted residual": (inverted, "InvertedResidual", 2, "batch"),
    "fused inverted residual": (fused, ["FusedMBConv", "MBConv"], 3, "batch"),
    "ConvNeXt block": (next_blocks, "CNBlock", 3, "layer"),
    "encoder block": (lambda: models.VisionTransformer(32, 8, 2, 4, 16, 32, num_classes=10), "EncoderBlock", 2, "layer"),
    "MLP": (lambda: models.VisionTransformer(32, 8, 2, 4, 16, 32, num_classes=10), "MLPBlock", 2, "none"),
    "attention": (lambda: models.VisionTransformer(32, 8, 2, 4, 16, 32, num_classes=10), "MultiheadAttention", 2, "none"),
    "Swin block": (
        lambda: models.SwinTransformer([4, 4], 8, [1, 2], [2, 2], [4, 4], num_classes=10), "SwinTransformerBlock", 3, "layer",
    ),
    "Swin patches": (
        lambda: models.SwinTransformer([4, 4], 8, [1, 2], [2, 2], [4, 4], num_classes=10), "PatchMerging", 1, "layer",
    ),
}  # fmt: skip


def depthwise(target):
    """A stand-in for a kernel: a cheap one of three taps, at any size."""
    kind = nn.Conv2d if target.rank == 2 else nn.Conv1d
    return kind(target.channels, target.channels, 3, padding=1, groups=target.channels, bias=False)


def macs(network, x):
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("adapter", ["copies", "projection"])
@pytest.mark.parametrize("name", NETWORKS)
def test_replacement(name, adapter):
    make, types, count, norm = NETWORKS[name]
    model, x = make(), torch.randn(1, 3, 32, 32)
    targets = find_targets(model, x, types=types, adapter=adapter)
    assert (len(targets), {target.norm for target in targets}) == (count, {norm})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    new = replace_layers(model, targets, depthwise)
    inside = tuple(f"{target.name}." for target in targets)
    others = {key: value for key, value in before.items() if not key.startswith(inside)}
    assert others
    assert set(others) == {key for key in new.state_dict() if not key.startswith(inside)}
    assert all(torch.equal(new.state_dict()[key], value) for key, value in others.items())
    for sample in (torch.randn(2, 3, 32, 32), torch.randn(2, 3, 45, 51)):
        if not isinstance(model, models.VisionTransformer) or sample.shape[2] == 32:
            new(sample).square().mean().backward()
    fresh = [p for key, p in new.named_parameters() if key not in others]
    assert fresh
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in fresh)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

    taps = sum(t.adapter.templates * 3**t.rank * t.channels * t.positions + t.adapter.macs for t in targets)
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert macs(new.eval(), x) == macs(model.eval(), x) - sum(t.macs for t in targets) + taps
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
    change = sum(p.numel() for p in new.parameters()) - sum(p.numel() for p in model.parameters())
    weights = sum(t.adapter.templates * 3**t.rank * t.channels + t.adapter.params for t in targets)
    assert change == weights - sum(t.params for t in targets)
