"""Paired latency: what is told apart, what is given up early, and that nothing is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kas.evaluation import DeviceLock, OutOfMemory, compare
from kas.evaluation.settings import CostSettings

FAST = CostSettings(repeats=7, min_block_ms=1, max_ratio=100)


class Clock:
    """A clock that only the networks of these tests move, so that a busy machine changes nothing."""

    now = 0.0

    def perf_counter(self) -> float:
        return Clock.now


@pytest.fixture(autouse=True)
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_clock" not in request.fixturenames:
        monkeypatch.setattr("kas.evaluation.latency.time", Clock())
        monkeypatch.setattr("kas.evaluation.preparing.time", Clock())


@pytest.fixture
def real_clock() -> None:
    """For tests that measure."""


class Sleeper(nn.Module):
    """Takes so many milliseconds of the clock above."""

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self.milliseconds = milliseconds
        self.norm = nn.BatchNorm1d(4)

    def forward(self, inputs: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        Clock.now += self.milliseconds / 1000
        return self.norm(inputs)  # type: ignore[no-any-return]


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(2, 4)


def test_ratio_spread_and_times(inputs: Tensor) -> None:
    paired = compare(Sleeper(8), Sleeper(4), inputs, FAST)
    assert [paired.ratio, paired.ratio_low, paired.ratio_high] == pytest.approx([0.5] * 3)
    assert paired.speedup == pytest.approx(2)
    assert paired.original_ms == pytest.approx(8)
    assert paired.candidate_ms == pytest.approx(4)
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
    assert (twice.repeats, twice.complete) == (5, False)
    assert twice.ratio == pytest.approx(2)
    for milliseconds, passes in ((50, 3), (25_000, 1)):
        start = Clock.now
        hopeless = compare(Sleeper(1), Sleeper(milliseconds), inputs, settings)
        assert Clock.now - start == pytest.approx(passes * milliseconds / 1000, rel=0.1)
        assert hopeless.ratio == pytest.approx(milliseconds)
        assert not hopeless.complete


def test_the_spread_is_that_of_the_pairs(inputs: Tensor) -> None:
    class Uneven(Sleeper):
        def forward(self, inputs: Tensor) -> Tensor:
            Clock.now += 0.003 * (int(Clock.now * 1000) % 3)
            return super().forward(inputs)

    paired = compare(Sleeper(4), Uneven(4), inputs, CostSettings(repeats=9, min_block_ms=0, max_ratio=100))
    assert 1 <= paired.ratio_low <= paired.ratio <= paired.ratio_high <= 2.5
    assert paired.ratio_low < paired.ratio_high


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


@pytest.mark.usefixtures("real_clock")
def test_real_networks_on_a_real_clock() -> None:
    small, large = nn.Conv2d(8, 8, 1), nn.Sequential(*(nn.Conv2d(8, 64, 5), nn.Conv2d(64, 8, 5)))
    paired = compare(large, small, torch.randn(8, 8, 24, 24), CostSettings(repeats=5, min_block_ms=2))
    assert paired.ratio < 0.7
    assert 0 < paired.candidate_ms < paired.original_ms


@pytest.mark.slow
@pytest.mark.usefixtures("real_clock")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's compiler imports what it deprecates
def test_compiled_networks(inputs: Tensor) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    paired = compare(network, network, inputs, CostSettings(repeats=3, runtime="compile", max_ratio=100))
    assert paired.ratio > 0
