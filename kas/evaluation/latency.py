"""Latency of a whole network against the original: interleaved in one process, so that the machine's mood hits both."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kas.evaluation.devices import cpu_threads, synchronize
from kas.evaluation.failures import memory_errors
from kas.evaluation.locks import DeviceLock
from kas.evaluation.settings import CostSettings

__all__ = ["Paired", "compare"]

_FIRST_LOOK = 5  # pairs before a candidate may be found too slow
_AT_LEAST = 3  # pairs, whatever the time limit says
_HOPELESS = 3.0  # times max_ratio: too slow after the warm-up alone
_PATIENCE = 20.0  # times max_ratio: too slow after the very first pass, if that took over a second


@dataclass(frozen=True)
class Paired:
    """A paired measurement. Times are medians in milliseconds for one batch; ratios are candidate over original.

    `ratio` is the median of the pairs' ratios, `ratio_low` and `ratio_high` their quartiles. `complete` is False if the
    measurement stopped before all repeats, because the candidate was clearly too slow or the time was up.
    """

    original_ms: float
    candidate_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    repeats: int
    complete: bool

    @property
    def speedup(self) -> float:
        """Original over candidate."""
        return 1 / self.ratio


def compare(
    original: nn.Module,
    candidate: nn.Module,
    example_input: Tensor,
    settings: CostSettings,
    *,
    lock: DeviceLock | None = None,
) -> Paired:
    """Time both networks on `example_input` ([N, ...], on the device to measure on), in eval mode, without gradients.

    The networks are left as they are (copies are measured). `lock` is held alone throughout. A candidate that is
    clearly slower than `settings.max_ratio` is given up early. Raises OutOfMemory.
    """
    device = example_input.device
    held = lock.exclusive() if lock is not None else nullcontext()
    with memory_errors("measuring latency"), held, cpu_threads(settings.threads), torch.inference_mode():
        if settings.runtime == "compile":
            torch.compiler.reset()  # earlier candidates must not use up dynamo's limit of compiled versions
        runs = [_runner(network, example_input, settings.runtime) for network in (original, candidate)]
        deadline = time.perf_counter() + settings.time_limit_s
        firsts = _warm_up(runs, device, settings)
        if firsts[1] > _HOPELESS * settings.max_ratio * firsts[0]:
            return _summary([(firsts[0], firsts[1])], complete=False)
        counts = [max(1, round(settings.min_block_ms / 1000 / first)) for first in firsts]
        pairs = _pairs(runs, counts, device, settings, deadline)
        return _summary(pairs, complete=len(pairs) == settings.repeats)


def _pairs(
    runs: list[Callable[[], Any]], counts: list[int], device: torch.device, settings: CostSettings, deadline: float
) -> list[tuple[float, float]]:
    """Seconds of a pass of (original, candidate), again and again, the two taking turns to go first."""
    pairs: list[tuple[float, float]] = []
    for index in range(settings.repeats):
        times = [0.0, 0.0]
        for which in (0, 1) if index % 2 == 0 else (1, 0):
            times[which] = _seconds(runs[which], counts[which], device)
        pairs.append((times[0], times[1]))
        if len(pairs) >= _AT_LEAST and time.perf_counter() > deadline:
            break
        if len(pairs) >= _FIRST_LOOK and _quartiles(pairs)[0] > settings.max_ratio:
            break
    return pairs


def _warm_up(runs: list[Callable[[], Any]], device: torch.device, settings: CostSettings) -> list[float]:
    """Seconds of the quickest pass of each; the very first one, which also compiles and plans, does not count."""
    firsts = [_seconds(run, 1, device) for run in runs]
    if settings.runtime == "eager" and firsts[1] > max(1.0, _PATIENCE * settings.max_ratio * firsts[0]):
        return firsts
    return [min(_seconds(run, 1, device) for _ in range(settings.warmup)) for run in runs]


def _seconds(run: Callable[[], Any], count: int, device: torch.device) -> float:
    """Mean seconds of `count` passes: by events on a CUDA device, by the clock elsewhere."""
    synchronize(device)
    if device.type == "cuda":
        make: Any = torch.cuda.Event
        start, end = make(enable_timing=True), make(enable_timing=True)
        start.record()
        for _ in range(count):
            run()
        end.record()
        end.synchronize()
        return max(float(start.elapsed_time(end)) / 1000 / count, 1e-9)
    begin = time.perf_counter()
    for _ in range(count):
        run()
    synchronize(device)
    return max((time.perf_counter() - begin) / count, 1e-9)


def _runner(network: nn.Module, example_input: Tensor, compiler: str) -> Callable[[], Any]:
    """A call of a copy of the network, in eval mode on the input's device, compiled if asked."""
    copied: Any = copy.deepcopy(network).to(example_input.device).eval()
    if compiler == "compile":
        copied = torch.compile(copied)
    return lambda: copied(example_input)


def _summary(pairs: list[tuple[float, float]], *, complete: bool) -> Paired:
    low, middle, high = _quartiles(pairs)
    return Paired(
        original_ms=1000 * statistics.median(original for original, _ in pairs),
        candidate_ms=1000 * statistics.median(candidate for _, candidate in pairs),
        ratio=middle,
        ratio_low=low,
        ratio_high=high,
        repeats=len(pairs),
        complete=complete,
    )


def _quartiles(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    ratios = [candidate / original for original, candidate in pairs]
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high
