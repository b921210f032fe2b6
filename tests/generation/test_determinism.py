"""The same seed gives the same kernels: in other processes at the same time, for any hash seed, whatever came before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from itertools import islice, zip_longest

import numpy as np
import pytest
from scipy.stats import chisquare

import kas
from kas.generation import Sampler
from kas.generation.sample import Sequences

TARGETS = {
    2: [kas.Target("a", 64, 64, (16, 16)), kas.Target("b", 128, 128, (8, 8))],
    1: [kas.Target("a", 64, 64, (32,)), kas.Target("b", 64, 128, (16,), stride=2)],
    0: [kas.Target("a", 64, 64, ()), kas.Target("b", 64, 256, ())],
}
BUDGET = {"macs": 0.5, "params": 0.5}
SEED, COUNT = 17, 20

_CODE = """\
import kas
for rank, size in ((2, (16, 16)), (1, (32,)), (0, ())):
    for limits in ({}, dict(targets=[kas.Target("a", 64, 64, size)], budget=%r)):
        for kernel in kas.sample(%d, rank=rank, seed=%d, **limits):
            print(kernel.hash, kernel.to_json())
"""


def _start(count: int, hash_seed: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", _CODE % (BUDGET, count, SEED)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _expected(count: int) -> list[str]:
    """What such a process must print, drawn here, where other kernels were drawn before."""
    kas.sample(5, seed=SEED + 1)
    lines = []
    for rank, size in ((2, (16, 16)), (1, (32,)), (0, ())):
        target = kas.Target("a", 64, 64, size)
        for kernels in (kas.sample(count, rank, SEED), kas.sample(count, rank, SEED, [target], BUDGET)):
            lines += [f"{kernel.hash} {kernel.to_json()}" for kernel in kernels]
    return lines


def test_processes_side_by_side_draw_the_same() -> None:
    wanted = [(COUNT, "0"), (COUNT, "1"), (COUNT // 2, "random"), (COUNT // 2, "1")]
    running = [_start(count, hash_seed) for count, hash_seed in wanted]
    printed = [process.communicate()[0].splitlines() for process in running]
    for (count, hash_seed), lines in zip(wanted, printed, strict=True):
        assert lines == _expected(count), f"{count} kernels, PYTHONHASHSEED={hash_seed}"


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_the_first_kernels_of_a_longer_draw_are_the_shorter_draw(rank: int) -> None:
    long = kas.sample(30, rank, SEED, TARGETS[rank], BUDGET)
    for count in (1, 13):
        assert kas.sample(count, rank, SEED, TARGETS[rank], BUDGET) == long[:count]


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_a_stream_is_the_sample_with_what_is_known_of_each_kernel(rank: int) -> None:
    drawn = list(islice(Sampler(rank, TARGETS[rank], BUDGET).stream(SEED), COUNT))
    assert [one.kernel for one in drawn] == kas.sample(COUNT, rank, SEED, TARGETS[rank], BUDGET)
    for one in drawn:
        assert one.sizes is not None
        assert set(one.sizes.values) == {"a", "b"}
        assert one.sizes.macs <= BUDGET["macs"] * sum(target.macs for target in TARGETS[rank])
        assert len(one.origins) == len(one.kernel.steps)
        assert set(one.origins) <= {"drawn", "closing", "repair"}


def test_a_sampler_keeps_nothing_from_one_draw_to_the_next() -> None:
    sampler = Sampler(2, TARGETS[2], BUDGET)
    one, other = sampler.stream(1), sampler.stream(2)
    mixed = list(islice(zip_longest(one, other), COUNT))  # the two streams in turn
    for number, seed in enumerate((1, 2)):
        assert [pair[number].kernel for pair in mixed] == kas.sample(COUNT, 2, seed, TARGETS[2], BUDGET)
        assert [pair[number].sizes for pair in mixed] == [
            drawn.sizes for drawn in islice(Sampler(2, TARGETS[2], BUDGET).stream(seed), COUNT)
        ]


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_the_size_of_a_batch_makes_no_difference(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tight = {"macs": 0.05, "params": 0.05}
    drawn = []
    for size in (1, 7, 64):
        monkeypatch.setattr(Sampler, "largest_batch", size)
        drawn.append(list(islice(Sampler(rank, TARGETS[rank], tight).stream(SEED), 6 * COUNT)))
    for other in drawn[1:]:
        assert [one.kernel for one in other] == [one.kernel for one in drawn[0]]
        assert [one.sizes for one in other] == [one.sizes for one in drawn[0]]


def test_drawing_leaves_the_garbage_collector_as_it_was() -> None:
    for enabled in (False, True):
        (gc.enable if enabled else gc.disable)()
        try:
            stream = Sampler(2, TARGETS[2], BUDGET).stream(SEED)
            for _ in range(5):
                next(stream)
                assert gc.isenabled() is enabled
        finally:
            gc.enable()


def test_other_seeds_give_other_kernels() -> None:
    found = [{kernel.hash for kernel in kas.sample(COUNT, seed=seed)} for seed in range(4)]
    assert len(set().union(*found)) > 3 * COUNT


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_the_stretches_of_a_seed_are_independent(lag: int) -> None:
    """Statistics of kernels mean nothing otherwise; states a power of two apart are found out by this with p < 1e-7."""
    stretches = Sequences(seed=1)
    pairs = np.array([[stretch.random(), stretch.random()] for n in range(8192) for stretch in stretches.at(range(n, n + 1))])
    for one, other in ((pairs[lag:, 0], pairs[:-lag, 0]), (pairs[lag:, 0], pairs[:-lag, 1]), (pairs[:, 0], pairs[:, 1])):
        counts, _, _ = np.histogram2d(one, other, bins=8, range=[(0, 1), (0, 1)])
        assert chisquare(counts.ravel()).pvalue > 1e-3
