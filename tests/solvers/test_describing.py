"""Targets in words."""

import pytest

from kas.solvers.describing import describe_target, describe_targets
from kas.solvers.targets import Target

BLOCK = {"block": "BasicBlock", "block_macs": 100, "block_params": 10}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target("a", 8, 8, (4, 4)), "layer, 8 → 8 channels, 4x4"),
        (
            Target("a", 8, 16, (4, 4), 2, **BLOCK, norm="batch"),
            "BasicBlock, 8 → 16 channels, 4x4, stride 2; 2 copies, BatchNorm behind",
        ),
        (Target("a", 16, 8, (4, 2), (2, 1), prefer="projection"), "layer, 16 → 8 channels, 4x2, stride 2x1; a 1x1 projection"),
        (
            Target("a", 16, 8, (9,), **BLOCK, tokens=True, norm="layer"),
            "BasicBlock, 16 → 8 channels, 9, tokens; 2 splits, LayerNorm of the channels behind",
        ),
        (Target("a", 16, 8, ()), "layer, 16 → 8 channels; 2 splits"),
    ],
)
def test_one(target, words):
    assert describe_target(target) == words


def test_all():
    batch = Target("a", 8, 16, (4, 4), **BLOCK, norm="batch")
    same = Target("b", 8, 8, (4, 4), **{**BLOCK, "block": "Other"}, norm="layer")
    assert describe_targets([batch]) == "replaces 1 block (BasicBlock); adapters: 1 copies; BatchNorm behind each"
    assert describe_targets([batch, same, same, Target("c", 8, 8, (4, 4))]) == (
        "replaces 3 blocks (BasicBlock, Other) and 1 layer; adapters: 1 copies, 3 none; BatchNorm behind 1 of them; "
        "LayerNorm of the channels behind 2 of them"
    )
