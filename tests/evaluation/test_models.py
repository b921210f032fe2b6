"""Networks by name, their arguments, and the user's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from kas.evaluation import make_model
from kas.evaluation.models.small_resnet import SmallResNet
from kas.evaluation.settings import ModelSettings
from kas.language.errors import KasError


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("small_resnet", {}, (1, 16, 16)),
        ("small_resnet", {"width": 8, "blocks": 2, "stages": 2}, (3, 33, 31)),
        ("small_resnet", {"width": 8, "blocks": [1, 2]}, (3, 32, 32)),
        ("small_conv1d", {"width": 8}, (28, 28)),
        ("small_convnext", {}, (1, 16, 16)),
        ("small_convnext", {"width": 8, "blocks": 1, "stages": 3, "kernel_size": 5}, (3, 33, 31)),
        ("small_vit", {}, (1, 16, 16)),
        ("small_vit", {"width": 12, "blocks": 1, "heads": 3, "patch": 4}, (3, 8, 16)),
        ("mlp", {"width": 16, "depth": 2}, (1, 8, 8)),
        ("resnet18", {}, (3, 64, 64)),
        ("mobilenet_v2", {}, (1, 64, 64)),
    ],
)
def test_makes_logits(name: str, args: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = make_model(ModelSettings(name=name, args=args), 7, shape)
    assert model(torch.randn(2, *shape)).shape == (2, 7)


def test_overrides_win_and_the_seed_decides_the_weights() -> None:
    settings = ModelSettings(args={"width": 8, "blocks": 2})
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(make_model(settings, 10, (1, 8, 8), {"width": 4}))
    assert isinstance(models[0], SmallResNet)
    assert models[0].head.in_features == 16
    assert len(models[0].stages[0]) == 2  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def own_model(num_classes: int, width: int = 4) -> nn.Module:
    """A factory of this file, by its name."""
    return nn.Sequential(nn.Flatten(), nn.Linear(width, num_classes))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet81"}, "model.name is 'resnet81'; known are small_resnet"),
        ({"name": "small_renset"}, "did you mean 'small_resnet'?"),
        (
            {"args": {"widht": 3}},
            "model small_resnet has no argument 'widht'; known are width, blocks, stages; did you mean",
        ),
        ({"args": {"width": "wide"}}, "model small_resnet: width is 'wide'; it must be a whole number"),
        ({"args": {"width": 0}}, "all must be at least 1"),
        ({"args": {"blocks": [1, 2], "stages": 3}}, "a list of blocks has one number for each stage"),
        ({"name": "small_vit", "args": {"heads": 5}}, "model small_vit: width 64, blocks 4, heads 5, patch 2; all must be"),
        ({"name": "small_vit", "args": {"patch": 3}}, "patch the images (here (8, 8))"),
        ({"name": "small_convnext", "args": {"stages": 4}}, "the images (here (8, 8)) at least 16 wide"),
        ({"name": "small_conv1d"}, "needs sequences (C, L), but the data has samples of shape (1, 8, 8)"),
        ({"name": "resnet18", "args": {"colour": 1}}, "model resnet18 cannot be built with model.args"),
        ({"factory": "nowhere.at_all:net"}, "model.factory: there is no module nowhere.at_all"),
        ({"factory": "math:sqrtt"}, "model.factory: module math has no function sqrtt; did you mean 'sqrt'?"),
    ],
)
def test_refuses_what_it_does_not_know(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(KasError) as error:
        make_model(ModelSettings(**settings), 10, (1, 8, 8))
    assert message in str(error.value)


def test_the_users_own_network_gets_what_it_takes() -> None:
    model = make_model(ModelSettings(factory=f"{__name__}:own_model", args={"width": 9}), 5, (1, 3, 3))
    assert model(torch.zeros(2, 1, 3, 3)).shape == (2, 5)
