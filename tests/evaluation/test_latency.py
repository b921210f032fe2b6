"""Paired latency: what is told apart, what is given up early, and that nothing is changed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kas.evaluation import DeviceLock, OutOfMemory, compare
from kas.evaluation.settings import CostSettings

FAST = CostSettings(repeats=7, min_block_ms=1, max_ratio=100)


class Sleeper(nn.Module):
    """Takes so many milliseconds, whatever the machine is doing; a network that counts its calls."""

    calls = 0

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self.milliseconds = milliseconds
        self.norm = nn.BatchNorm1d(4)

    def forward(self, inputs: Tensor) -> Tensor:
        Sleeper.calls += 1
        assert not self.training
        assert not torch.is_grad_enabled()
        time.sleep(self.milliseconds / 1000)
        return self.norm(inputs)  # type: ignore[no-any-return]


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(2, 4)


def test_ratio_spread_and_times(inputs: Tensor) -> None:
    paired = compare(Sleeper(8), Sleeper(4), inputs, FAST)
    assert 0.4 < paired.ratio < 0.7
    assert paired.ratio_low <= paired.ratio <= paired.ratio_high
    assert paired.speedup == pytest.approx(1 / paired.ratio)
    assert 8 <= paired.original_ms < 14
    assert 4 <= paired.candidate_ms < 9
    assert (paired.repeats, paired.complete) == (7, True)


def test_networks_are_left_as_they_are(inputs: Tensor) -> None:
    original, candidate = Sleeper(0.1).train(), Sleeper(0.1).train()
    before = {key: value.clone() for key, value in candidate.state_dict().items()}
    threads = torch.get_num_threads()
    compare(original, candidate, inputs, CostSettings(repeats=3, min_block_ms=0.1, threads=1))
    assert original.training
    assert candidate.training
    assert all(torch.equal(value, before[key]) for key, value in candidate.state_dict().items())
    assert torch.get_num_threads() == threads


def test_a_slow_candidate_is_given_up_early(inputs: Tensor) -> None:
    settings = CostSettings(repeats=50, min_block_ms=1, max_ratio=1.1)
    twice = compare(Sleeper(4), Sleeper(8), inputs, settings)
    assert not twice.complete
    assert twice.repeats < 10
    assert twice.ratio > 1.5
    start = time.monotonic()
    hopeless = compare(Sleeper(1), Sleeper(1500), inputs, settings)
    assert time.monotonic() - start < 4
    assert hopeless.ratio > 100
    assert not hopeless.complete


def test_time_limit_keeps_at_least_three_pairs(inputs: Tensor) -> None:
    paired = compare(Sleeper(20), Sleeper(20), inputs, CostSettings(repeats=50, time_limit_s=0.01, max_ratio=100))
    assert (paired.repeats, paired.complete) == (3, False)


def test_holds_the_lock_alone(inputs: Tensor, tmp_path: Path) -> None:
    held: list[Any] = []

    class Watcher(Sleeper):
        def forward(self, inputs: Tensor) -> Tensor:
            held.append(lock._held)
            return super().forward(inputs)

    lock = DeviceLock(tmp_path)
    compare(Watcher(0.1), Watcher(0.1), inputs, FAST, lock=lock)
    assert set(held) == {"exclusive"}
    with lock.exclusive():
        pass
    lock.close()


def test_out_of_memory_is_typed(inputs: Tensor) -> None:
    class Greedy(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.empty(2**56, dtype=torch.uint8)

    with pytest.raises(OutOfMemory, match="out of memory while measuring latency"):
        compare(Sleeper(0.1), Greedy(), inputs, FAST)


@pytest.mark.slow
def test_compiled_networks(inputs: Tensor) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    paired = compare(network, network, inputs, CostSettings(repeats=3, compiler="compile", max_ratio=100))
    assert paired.ratio > 0
