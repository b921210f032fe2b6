"""Known kernels: all legal, each with a reference, found by name; the list of what people invented is complete."""

from __future__ import annotations

import pytest
import torch
from kernel_sizes import fitting

import kas
from kas.study.sampler import DEFAULT_SEEDS
from kas.zoo import UNSAID

# What the zoo is to hold, and the names under which it does.
WANTED = {
    "3x3": "conv3x3",
    "1x1": "conv1x1",
    "grouped": "grouped3x3",
    "depthwise": "depthwise3x3",
    "depthwise-separable": "depthwise_separable",
    "dilated": "dilated3x3",
    "1x7 and 7x1": "inception_1x7_7x1",
    "bottleneck": "bottleneck",
    "inverted residual": "inverted_residual",
    "grouped 1x1 with channel shuffle": "grouped1x1_shuffle",
    "ShuffleNet unit": "shufflenet_unit",
    "ShiftNet": "shiftnet",
    "squeeze-and-excitation": "squeeze_excitation",
    "ECA": "eca",
    "SRM": "style_recalibration",
    "SKNet": "selective_kernels",
    "involution, one group": "involution",
    "involution, G groups": "grouped_involution",
    "non-local": "nonlocal_attention",
    "self-attention over space": "self_attention",
    "two-head attention": "two_head_attention",
    "channel attention": "channel_attention",
    "linear attention": "linear_attention",
    "GCNet": "global_context",
    "VAN": "large_kernel_attention",
    "ConvNeXt": "convnext",
    "RepLKNet": "replknet",
    "PoolFormer": "poolformer",
    "MLP-Mixer": "mlp_mixer",
    "ResMLP": "resmlp",
    "gMLP": "gmlp",
    "RepVGG": "repvgg",
    "GLU": "glu",
    "gated convolution": "gated_convolution",
    "Ghost": "ghost",
    "Maxout": "maxout",
    "Primer FFN": "primer_feed_forward",
    "HorNet": "hornet",
    "SimAM": "simam",
    "cosine attention": "cosine_attention",
    "multi-head attention": "multi_head_attention",
    "Swin": "swin_attention",
    "Swin V2": "swin_v2_attention",
    "MobileViT": "patchwise_attention",
    "PVT": "spatial_reduction_attention",
    "MaxViT's grid attention": "grid_attention",
    "axial attention": "axial_attention",
    "CCNet": "criss_cross_attention",
    "XCiT": "xcit_attention",
    "patchify": "patch_embedding",
    "pixel shuffle": "pixel_shuffle",
    "SCNet": "self_calibrated",
    "S2-MLP": "s2_mlp",
    "AS-MLP": "as_mlp",
    "VOLO": "outlook_attention",
    "CARAFE": "carafe",
    "involution, G groups, as a product": "involution_product",
}
TARGETS = {
    2: [
        kas.Target("layer1", 64, 64, (56, 56)),
        kas.Target("layer2", 64, 128, (28, 28), stride=2),
        kas.Target("layer3", 256, 256, (14, 14)),
        kas.Target("layer4", 512, 512, (7, 7)),
    ],
    1: [kas.Target("a", 64, 64, (128,), kernel_size=(3,)), kas.Target("b", 64, 128, (64,), stride=2, kernel_size=(3,))],
    0: [kas.Target("a", 256, 256, (), kernel_size=())],
}
DENSE_OVER_POSITIONS = ("resmlp", "gmlp")


def test_everything_wanted_is_there() -> None:
    assert {name for name in WANTED.values() if name not in kas.zoo.names()} == set(UNSAID)
    assert len(set(WANTED.values())) == len(WANTED) >= 40


@pytest.mark.parametrize("name", kas.zoo.names())
def test_each_known_kernel_is_legal_and_documented(name: str) -> None:
    kernel = kas.zoo.get(name)
    assert kas.Kernel.from_json(kernel.to_json()).hash == kernel.hash
    known = kas.zoo.entry(name)
    assert 1950 < known.year < 2030
    assert len(known.reference) > 10
    assert known.make.__module__.startswith("kas.zoo.")


def test_known_kernels_differ() -> None:
    assert len({kas.zoo.get(name).hash for name in kas.zoo.names()}) == len(kas.zoo.names())


@pytest.mark.parametrize("name", kas.zoo.names())
def test_each_fits_the_layers_of_a_resnet(name: str) -> None:
    """All have sizes at every stage, and those with a free width keep to the work of what they replace."""
    kernel = kas.zoo.get(name)
    targets = TARGETS[kernel.rank]
    refused = [target for target in targets if fitting(kernel, target.size) != target.size]
    if refused:  # a 7x7 image has no windows of 2
        with pytest.raises(kas.Infeasible, match="which is not an integer"):
            kas.solve(kernel, refused[:1])
        targets = [target for target in targets if target not in refused]
    if name in DENSE_OVER_POSITIONS:  # (56 * 56)^2 weights are more than a whole ResNet has
        with pytest.raises(kas.Infeasible, match=r"params is limited to .* most of it .* at target 'layer1'"):
            kas.solve(kernel, targets)
        targets = targets[2:]
    sizes = kas.solve(kernel, targets)
    assert set(sizes.values) == {target.name for target in targets}
    assert all(set(values) == set(kernel.variables) for values in sizes.values.values())
    if kernel.variables:
        assert sizes.use["macs"] <= 1


@pytest.mark.parametrize("name", kas.zoo.names())
def test_each_runs_forward_and_backward(name: str) -> None:
    kernel = kas.zoo.get(name)
    size = fitting(kernel, (8, 10)[: kernel.rank])
    torch.manual_seed(0)
    module = kas.build(kernel, channels=16, size=size, groups=4, values=dict.fromkeys(kernel.variables, 6))
    x = torch.randn(2, 16, *size, requires_grad=True)
    y = module(x)
    y.square().sum().backward()
    assert y.shape == x.shape
    assert y.isfinite().all()
    assert x.grad is not None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_names_by_rank_and_default_seeds() -> None:
    assert "conv3x3" in kas.zoo.names(2)
    assert "conv3x3" not in kas.zoo.names(1)
    for rank, names in DEFAULT_SEEDS.items():
        assert set(names) <= set(kas.zoo.names(rank))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(kas.KasError, match="did you mean 'involution'"):
        kas.zoo.get("involuton")


def test_what_cannot_be_said_says_why() -> None:
    with pytest.raises(kas.KasError, match=r"'grid_attention' is known, but no program of the language: .* Needs windows by"):
        kas.zoo.get("grid_attention")


def test_a_kernel_is_made_once() -> None:
    assert kas.zoo.get("involution") is kas.zoo.get("involution")
