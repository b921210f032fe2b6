"""The plain lowering against the definitions, written again with numpy, and against `kas.cost`."""

import random

import numpy as np
import pytest
import torch
from kernel_sizes import fitting
from lowering_comparison import random_program
from lowering_programs import FC, PROGRAMS, SIZES, TAPS, UNFOLD, op, program
from torch.utils.flop_counter import FlopCounterMode

from kas import zoo
from kas.language import OPS, Infeasible, cost
from kas.lowering import build


def run(kernel, x, weights=(), groups=1):
    module = build(kernel, channels=x.shape[1], size=x.shape[2:], groups=groups, lowering="plain").double()
    with torch.no_grad():
        for parameter, weight in zip(module.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(weight).reshape(parameter.shape))
        return module(torch.from_numpy(x)).numpy()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def unfolded(x, k, d):
    """[N, C, k, k, H, W]: tap j reads position p + (j - (k-1)/2)*d, zeros outside."""
    n, c, h, w = x.shape
    taps = np.zeros((n, c, k, k, h, w))
    for i, j, p, q in np.ndindex(k, k, h, w):
        row, column = p + (i - (k - 1) // 2) * d, q + (j - (k - 1) // 2) * d
        if 0 <= row < h and 0 <= column < w:
            taps[:, :, i, j, p, q] = x[:, :, row, column]
    return taps


@pytest.mark.parametrize("d", [1, 2])
def test_unfold_and_fc(rng, d):
    x, weight = rng.normal(size=(2, 4, 5, 6)), rng.normal(size=(4, 4, 3, 3))
    expected = np.einsum("nckjhw,ockj->nohw", unfolded(x, 3, d), weight)
    assert run(program({**UNFOLD, "d": d}, FC), x, [weight]) == pytest.approx(expected)
    conv = op("conv", to="C", k=[3, 3], d=[d, d])
    assert run(program(conv), x, [weight]) == pytest.approx(expected)


def test_unfold_order_does_not_matter(rng):
    x, weight = rng.normal(size=(2, 4, 5, 6)), rng.normal(size=(4, 4, 3, 3))
    rows, columns = op("unfold", over="h", k=3), op("unfold", over="w", k=3)
    expected = run(program(UNFOLD, FC), x, [weight])
    assert run(program(rows, columns, FC), x, [weight]) == pytest.approx(expected)
    assert run(program(columns, rows, FC), x, [weight]) == pytest.approx(expected)


def test_fc_is_block_diagonal_over_groups(rng):
    x, weight = rng.normal(size=(2, 6, 3, 4)), rng.normal(size=(6, 3))
    expected = np.concatenate(
        [np.einsum("nchw,oc->nohw", x[:, :3], weight[:3]), np.einsum("nchw,oc->nohw", x[:, 3:], weight[3:])], 1
    )
    assert run(program(op("group", by="2"), FC), x, [weight]) == pytest.approx(expected)


def test_transpose_is_a_channel_shuffle(rng):
    x, weight = rng.normal(size=(2, 6, 3, 4)), np.eye(6)
    expected = x.reshape(2, 2, 3, 3, 4).transpose(0, 2, 1, 3, 4).reshape(2, 6, 3, 4)
    assert run(program(op("group", by="2"), op("transpose"), op("ungroup"), FC), x, [weight]) == pytest.approx(expected)


def test_fold_of_taps_counts_the_zeros_outside(rng):
    x = -1 - rng.random(size=(2, 3, 4, 5))
    taps = unfolded(x, 3, 1)
    assert run(program(UNFOLD, op("fold", axes=TAPS, how="max")), x) == pytest.approx(taps.max((2, 3)))
    assert run(program(UNFOLD, op("fold", axes=TAPS, how="mean")), x) == pytest.approx(taps.mean((2, 3)))


def test_joint_softmax_over_axes_that_are_apart(rng):
    x, weight = rng.normal(size=(2, 4, 4, 5)), rng.normal(size=(4, 18))
    taps = np.exp(unfolded(x, 3, 1).reshape(2, 2, 2, 3, 3, 4, 5))
    taps = (taps / taps.sum((1, 3), keepdims=True)).reshape(2, 2, 18, 4, 5)
    expected = np.einsum("ngihw,goi->ngohw", taps, weight.reshape(2, 2, 18)).reshape(x.shape)
    kernel = program(op("group", by="2"), UNFOLD, op("softmax", axes=["0.g", "0.kh"]), FC)
    assert run(kernel, x, [weight]) == pytest.approx(expected)


def test_mix_takes_its_axes_in_any_order(rng):
    x, weight = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(5, 3, 5, 3))
    expected = np.einsum("nchw,vdwc->ndhv", x, weight)
    assert run(program(op("mix", axes=["1.w", "0.c"], to=["W", "C"])), x, [weight]) == pytest.approx(expected)


def test_matmul_divides_by_the_root_of_the_contracted_size(rng):
    x = rng.normal(size=(2, 3, 4, 5))
    m = x.reshape(2, 3, 20)
    scores = np.exp(np.einsum("ncp,ndp->ncd", m, m) / 20**0.5)
    scores /= scores.sum(2, keepdims=True)
    expected = (np.einsum("ncd,ndp->ncp", scores, m) / 3**0.5).reshape(x.shape)
    assert run(PROGRAMS["channel attention"], x) == pytest.approx(expected)


def test_shift_rolls(rng):
    x, weight = rng.normal(size=(2, 3, 4, 5)), np.eye(3)
    expected = np.roll(x, (-2, -2), (2, 3))
    assert run(program(op("shift", axes=["1.h", "1.w"], by=-2), FC), x, [weight]) == pytest.approx(expected)


def test_normalize(rng):
    x = rng.normal(size=(2, 3, 4, 5))
    standard = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
    assert run(PROGRAMS["normalise channels"], x) == pytest.approx(standard)
    assert run(PROGRAMS["l2 of channels"], x) == pytest.approx(x / np.sqrt((x**2).sum(1, keepdims=True) + 1e-6))


POINTWISE = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "abs": np.abs,
    "exp": lambda x: np.exp(np.minimum(x, 10)),
    "neg": lambda x: -x,
    "sin": lambda x: np.sin(np.pi * x / 2),
    "sqrt": lambda x: np.sqrt(np.maximum(np.abs(x), 1e-6)),
    "sqr": lambda x: x * x,
}


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(rng, name):
    x = 8 * rng.normal(size=(2, 3, 4, 5))
    x[0, 0, 0, :2] = 0, 1e-9
    assert run(program(op(name), FC), x, [np.eye(3)]) == pytest.approx(POINTWISE[name](x))


@pytest.mark.parametrize("swap", [False, True])
def test_div_and_sub(rng, swap):
    x = rng.normal(size=(2, 3, 4, 5))
    x[0, 0, 0, :3] = 0, 1e-5, -1e-5
    y = x * 2
    left, right = (x, y) if swap else (y, x)
    ratio = left * np.where(right < 0, -1, 1) / np.maximum(np.abs(right), 1e-3)
    assert run(program(FC, op("div", ins=[1, 0], swap=swap)), x, [2 * np.eye(3)]) == pytest.approx(ratio)
    assert run(program(FC, op("sub", ins=[1, 0], swap=swap)), x, [2 * np.eye(3)]) == pytest.approx(left - right)


def test_broadcast_by_a_cut_repeats_in_blocks(rng):
    x = rng.normal(size=(2, 4, 3, 5))
    half = np.eye(4)[:2]
    expected = x * np.tile(x[:, :2], (1, 2, 1, 1))
    kernel = program(op("fc", to="C/2"), op("mul", ins=[1, 0]))
    assert run(kernel, x, [half]) == pytest.approx(expected)


def test_every_op_is_tested():
    assert {step.op for kernel in PROGRAMS.values() for step in kernel.steps} == set(OPS)


def check_cost(kernel, channels, size, groups):
    values = dict.fromkeys(kernel.variables, 8)
    price = cost(kernel, channels, size, groups, values)
    module = build(kernel, channels=channels, size=size, groups=groups, values=values, lowering="plain")
    with FlopCounterMode(display=False) as counter:
        module(torch.randn(1, channels, *size))
    assert counter.get_total_flops() == 2 * price.macs
    assert sum(parameter.numel() for parameter in module.parameters()) == price.params


@pytest.mark.parametrize("name", PROGRAMS)
def test_cost_is_what_torch_counts(name):
    check_cost(PROGRAMS[name], 16, SIZES[PROGRAMS[name].rank][0], 4)


@pytest.mark.parametrize("name", zoo.names())
def test_cost_of_known_kernels(name):
    check_cost(zoo.get(name), 16, fitting(zoo.get(name), SIZES[zoo.get(name).rank][0]), 2)


def test_cost_of_random_programs():
    seen = 0
    for seed in range(120):
        rng = random.Random(seed)
        kernel = random_program(rng, rng.choice([2, 1, 0]), rng.randint(2, 7))
        if kernel is not None:
            try:
                check_cost(kernel, rng.choice([4, 8]), SIZES[kernel.rank][0], 2)
            except Infeasible:
                continue
            seen += 1
    assert seen > 60
