"""One filter along an axis against its definition, with loops, at sizes other than the one built for; and its code."""

from __future__ import annotations

import pytest
import torch
from lowering_programs import PROGRAMS, op, program

import kas
from kas.language import Infeasible
from kas.lowering import build

CHANNELS, GROUPS = 8, 2


def defined(x, weight, axis, d):
    """`y[i] = sum_j w[j] x[i + (j - (k-1)/2)*d]` along an axis of a tensor, zeros outside."""
    y = torch.zeros_like(x)
    for i in range(x.shape[axis]):
        for j, tap in enumerate(weight):
            source = i + (j - (len(weight) - 1) // 2) * d
            if 0 <= source < x.shape[axis]:
                y.select(axis, i).add_(tap * x.select(axis, source))
    return y


def module_of(kernel, weight, lowering):
    size = (5, 6)[: kernel.rank]
    module = build(kernel, channels=CHANNELS, size=size, groups=GROUPS, lowering=lowering).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(weight.reshape(parameter.shape))
    return module


@pytest.mark.parametrize("lowering", ["plain", "optimized"])
@pytest.mark.parametrize(("k", "d"), [(3, 1), (5, 2), (7, 3)])
@pytest.mark.parametrize(("axis", "number"), [("0.c", 1), ("1.h", 2), ("1.w", 3)])
def test_filter_of_an_image(lowering, k, d, axis, number):
    """Also with more taps than there are places."""
    weight = torch.randn(k, dtype=torch.double, generator=torch.Generator().manual_seed(k))
    module = module_of(program(op("filter", axis=axis, k=k, d=d)), weight, lowering)
    for size in [(5, 6), (4, 9), (2, 1)]:
        x = torch.randn(2, CHANNELS, *size, dtype=torch.double, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(module(x).detach(), defined(x, weight, number, d), atol=1e-12)


@pytest.mark.parametrize("lowering", ["plain", "optimized"])
def test_filter_in_groups_and_of_a_matrix(lowering):
    weight = torch.randn(3, dtype=torch.double, generator=torch.Generator().manual_seed(3))
    x = torch.randn(2, CHANNELS, 4, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    module = module_of(program(op("group", by="G"), op("filter", axis="0.c", k=3)), weight, lowering)
    expected = defined(x.reshape(2, GROUPS, CHANNELS // GROUPS, 4, 3), weight, 2, 1).reshape(x.shape)
    assert torch.allclose(module(x).detach(), expected, atol=1e-12)
    steps = op("matmul", ins=[0, 0], t=[True, False]), op("filter", axis="0.w", k=3), op("matmul", ins=[0, 2], t=[False, True])
    rows = x.flatten(2)
    scores = (rows.transpose(1, 2) @ rows / CHANNELS**0.5).reshape(2, 4, 3, 4, 3)
    scores = defined(scores, weight, 2, 1).reshape(2, 12, 12)
    expected = (rows @ scores.transpose(1, 2) / 12**0.5).reshape(x.shape)
    assert torch.allclose(module_of(program(*steps), weight, lowering)(x).detach(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "there", "absent"),
    [
        ("filter of columns, spread", "groups=c", "addcmul"),  # a depthwise convolution, with the bias in it
        ("filter of averaged channels", "conv1d", "addcmul"),
        ("filter of channels of taps", "conv2d", "unfold"),
        ("filter of channels of raised taps", "addcmul", "conv1d"),
    ],
)
def test_code(name, there, absent):
    text = kas.source(PROGRAMS[name], channels=16, size=(8, 10), groups=4, check=False)
    assert there in text
    assert absent not in text.partition("def forward")[2]


def test_the_mean_is_taken_before_the_filter():
    text = kas.source(PROGRAMS["filter of channels, averaged"], channels=16, size=(8, 10), check=False)
    forward = text.partition("def forward")[2]
    assert forward.index(".mean(") < forward.index("F.conv1d(")


def test_what_no_size_allows():
    with pytest.raises(Infeasible, match="has 1 axes, but the kernel is of rank 2"):
        build(PROGRAMS["filter of rows"], channels=CHANNELS, size=(8,))
