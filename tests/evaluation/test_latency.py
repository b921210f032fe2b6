"""Paired latency: what is told apart, what is given up early, and that nothing is changed."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from kas.evaluation import DeviceLock, OutOfMemory, compare, prepare
from kas.evaluation.runtimes import Runtime
from kas.evaluation.settings import CostSettings
from kas.language import KasError

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


class Fast(Runtime):
    """A runtime of these tests: a pass takes the milliseconds of its memory format, times those of the network."""

    name = "eager"
    milliseconds: ClassVar[dict[str, float]] = {"contiguous": 3.0, "channels_last": 2.0}

    def __init__(self, **milliseconds: float) -> None:
        super().__init__("cpu")
        self.times = milliseconds or self.milliseconds
        self.passes: list[str] = []

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "fast 1.0"

    def _prepare(self, network: nn.Module, example: Tensor) -> Any:
        last = example.dim() == 4 and example.is_contiguous(memory_format=torch.channels_last)
        memory_format = "channels_last" if last else "contiguous"

        def run() -> None:
            self.passes.append(memory_format)
            Clock.now += self.times[memory_format] * network.milliseconds / 1000  # type: ignore[operator]

        return run


IMAGE = torch.randn(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("times", "wanted", "chosen"),
    [
        ({"contiguous": 3.0, "channels_last": 2.0}, "auto", "channels_last"),
        ({"contiguous": 2.0, "channels_last": 3.0}, "auto", "contiguous"),
        ({"contiguous": 2.0, "channels_last": 2.0}, "auto", "contiguous"),
        ({"contiguous": 3.0, "channels_last": 2.0}, "contiguous", "contiguous"),
        ({"contiguous": 2.0, "channels_last": 3.0}, "channels_last", "channels_last"),
    ],
)
def test_the_memory_format(times: dict[str, float], wanted: Any, chosen: str) -> None:
    runtime = Fast(**times)
    prepared = prepare(Sleeper(1), IMAGE, replace(FAST, memory_format=wanted), runtime)
    assert (prepared.memory_format, prepared.version, prepared.runtime) == (chosen, "fast 1.0", "eager")
    runtime.passes.clear()
    prepared.run()
    assert runtime.passes == [chosen]


def test_each_network_has_its_own_memory_format() -> None:
    original, candidate = Sleeper(1), Sleeper(1)
    original.times = {"contiguous": 4.0, "channels_last": 8.0}  # type: ignore[assignment]
    candidate.times = {"contiguous": 4.0, "channels_last": 1.0}  # type: ignore[assignment]
    settings = replace(FAST, memory_format="auto")

    class PerNetwork(Fast):
        def _prepare(self, network: nn.Module, example: Tensor) -> Any:
            return Fast(**network.times)._prepare(network, example)  # type: ignore[arg-type]

    paired = compare(original, candidate, IMAGE, settings, runtime=PerNetwork())
    assert (paired.original_format, paired.candidate_format) == ("contiguous", "channels_last")
    assert paired.ratio == pytest.approx(0.25)


def test_formats_that_make_no_difference_are_not_tried() -> None:
    runtime = Fast()
    tokens = prepare(Sleeper(1), torch.randn(2, 3, 4), replace(FAST, memory_format="channels_last"), runtime)
    assert tokens.memory_format == "contiguous"
    own = prepare(nn.Conv2d(3, 3, 1), IMAGE, replace(FAST, runtime="onnxruntime", memory_format="channels_last"))
    assert own.memory_format == "contiguous"
    assert runtime.passes == []


def test_a_costly_runtime_chooses_in_eager_torch() -> None:
    class Slow(Fast):
        costly = True

    runtime = Slow()
    prepared = prepare(nn.Conv2d(3, 3, 1), IMAGE, replace(FAST, memory_format="auto"), runtime)
    assert prepared.memory_format in ("contiguous", "channels_last")
    assert runtime.passes == []


@pytest.mark.parametrize("costly", [False, True])
def test_a_hopeless_candidate_is_given_up_before_a_second_format(costly: bool) -> None:
    runtime = Fast()
    runtime.costly = costly  # type: ignore[misc]
    settings = CostSettings(max_ratio=1.1, memory_format="auto")
    image, start = torch.randn(2, 4, 2, 2), Clock.now

    class Images(Sleeper):
        def forward(self, inputs: Tensor) -> Tensor:
            Clock.now += self.milliseconds / 1000
            return inputs

    hopeless = compare(Images(1), Images(25_000), image, settings, runtime=runtime)
    assert Clock.now - start == pytest.approx(25 if costly else 75, rel=0.1)
    assert (hopeless.repeats, hopeless.complete, hopeless.candidate_format) == (1, False, "contiguous")


def test_what_is_prepared_is_for_one_runtime_and_thread_count() -> None:
    settings = replace(FAST, threads=1)
    prepared = prepare(Sleeper(1), IMAGE, settings, Fast())
    paired = compare(prepared, prepared, IMAGE, settings, runtime=Fast())
    assert (paired.runtime, paired.version, paired.ratio) == ("eager", "fast 1.0", pytest.approx(1))
    with pytest.raises(KasError, match="prepared for eager with 1 threads, but timed in eager with 2; prepare it again"):
        compare(prepared, prepared, IMAGE, replace(settings, threads=2), runtime=Fast())
    with pytest.raises(KasError, match="prepared for eager with 1 threads, but timed in onnxruntime with 1"):
        compare(prepared, prepared, IMAGE, replace(settings, runtime="onnxruntime"))


def test_a_missing_runtime_is_said() -> None:
    class Absent(Fast):
        def missing(self) -> str | None:
            return "fast needs nothing: pip install nothing"

    with pytest.raises(KasError, match=r"\Afast needs nothing: pip install nothing"):
        compare(Sleeper(1), Sleeper(1), IMAGE, FAST, runtime=Absent())


def test_trainings_go_on_while_a_network_is_prepared(tmp_path: Path) -> None:
    held: list[Any] = []
    lock = DeviceLock(tmp_path)

    class Watching(Fast):
        def _prepare(self, network: nn.Module, example: Tensor) -> Any:
            held.append(lock._held)
            run = super()._prepare(network, example)
            return lambda: (held.append(lock._held), run())

    compare(Sleeper(1), Sleeper(1), IMAGE, replace(FAST, memory_format="auto"), lock=lock, runtime=Watching())
    choosing = ["shared"] * 2 + ["exclusive"] * 12 + ["shared"]
    assert held[: len(choosing)] == choosing
    assert lock._held is None
    lock.close()


def test_paired_as_text(inputs: Tensor) -> None:
    paired = compare(Sleeper(8), Sleeper(4), inputs, FAST)
    assert str(paired) == (
        f"torch {torch.__version__}: 4 ms (contiguous), the original 8 ms (contiguous); "
        "2.00 times as fast (quartiles 2.00 to 2.00)"
    )


def test_latency_in_a_process_that_imported_nothing() -> None:
    script = """
import kas, torch
from torch import nn
wide, narrow = (nn.Sequential(nn.Conv2d(3, width, 3), nn.Conv2d(width, 3, 3)) for width in (64, 2))
paired = kas.latency(wide, narrow, torch.randn(1, 3, 64, 64), repeats=3, threads=1, min_block_ms=1)
print(paired.runtime, paired.repeats, paired.original_format, paired.candidate_format, paired.speedup > 0)
print(paired)
try:
    kas.latency(wide, narrow, torch.randn(1, 3, 64, 64), "onnx")
except kas.KasError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    first, text, error = done.stdout.splitlines()
    assert first == "onnxruntime 3 contiguous contiguous True"
    assert re.fullmatch(r"onnxruntime \S+ \(CPU\): \S+ ms \(contiguous\), the original .* times as fast .*", text)
    assert error == "runtime is 'onnx'; it must be one of eager, compile, onnxruntime; did you mean 'onnxruntime'?"
