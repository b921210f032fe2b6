"""Latency of a whole network against the original: interleaved in one process, so that the machine's mood hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kas.evaluation.devices import cpu_threads
from kas.evaluation.failures import memory_errors
from kas.evaluation.locks import DeviceLock
from kas.evaluation.preparing import Hopeless, Prepared, alone, prepare, seconds
from kas.evaluation.runtimes import Runtime, make_runtime
from kas.evaluation.settings import CostSettings, MemoryFormat, RuntimeName
from kas.language.errors import KasError
from kas.replacement.example import first_tensor

__all__ = ["Paired", "Prepared", "compare", "latency", "prepare"]

_FIRST_LOOK = 5  # pairs before a candidate may be found too slow
_AT_LEAST = 3  # pairs, whatever the time limit says
_HOPELESS = 3.0  # times max_ratio: too slow after the warm-up alone
_PATIENCE = 20.0  # times max_ratio: too slow after the very first pass, if that took over a second


@dataclass(frozen=True, repr=False)
class Paired:
    """A paired measurement. Times are medians in milliseconds for one batch; ratios are candidate over original.

    `ratio` is the median of the pairs' ratios, `ratio_low` and `ratio_high` their quartiles. `complete` is False if the
    measurement stopped before all repeats, because the candidate was clearly too slow or the time was up. `runtime` and
    `version` are what both ran in, `original_format` and `candidate_format` the memory format of each.
    """

    original_ms: float
    candidate_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    repeats: int
    complete: bool
    runtime: str
    version: str
    original_format: str
    candidate_format: str

    def __str__(self) -> str:
        """`onnxruntime 1.32.0 (CPU): 12.1 ms, the original 24.3 ms; 2.01 times as fast (quartiles 1.98 to 2.04)`."""
        low, high = 1 / self.ratio_high, 1 / self.ratio_low
        return (
            f"{self.version}: {self.candidate_ms:.3g} ms ({self.candidate_format}), "
            f"the original {self.original_ms:.3g} ms ({self.original_format}); "
            f"{self.speedup:.2f} times as fast (quartiles {low:.2f} to {high:.2f})"
        )

    def __repr__(self) -> str:
        return f"<Paired {self}>"

    @property
    def speedup(self) -> float:
        """Original over candidate."""
        return 1 / self.ratio


def latency(
    original: nn.Module,
    candidate: nn.Module,
    example: Any,
    runtime: RuntimeName = "onnxruntime",
    *,
    memory_format: MemoryFormat = "auto",
    threads: int | None = None,
    repeats: int = 15,
    warmup: int = 2,
    min_block_ms: float = 20.0,
    time_limit_s: float = 60.0,
) -> Paired:
    """How long two networks take on `example` ([N, ...]) for inference, on its device, measured in turns in one process.

    runtime: onnxruntime, compile (Inductor with frozen weights) or eager. memory_format: auto takes the better of contiguous
    and channels_last for each network. threads: CPU threads, by default torch's number. repeats: pairs; each repeats a pass
    until it takes about `min_block_ms`. No further pair after `time_limit_s`. Both networks are left as they are.

    Raises KasError for a bad argument, a runtime that is missing, a network that it does not take, or too little memory.

    >>> import torch
    >>> from torch import nn
    >>> wide, narrow = (nn.Sequential(nn.Conv2d(3, width, 3), nn.Conv2d(width, 3, 3)) for width in (64, 4))
    >>> paired = latency(wide, narrow, torch.randn(1, 3, 64, 64), "eager", repeats=3)
    >>> print(paired)  # doctest: +SKIP
    torch 2.13.0: 0.214 ms (contiguous), the original 2.4 ms (channels_last); 11.2 times as fast (quartiles 11.1 to 11.4)
    >>> paired.runtime, paired.repeats
    ('eager', 3)
    """
    try:
        settings = CostSettings(
            runtime=runtime,
            memory_format=memory_format,
            threads=threads,
            repeats=repeats,
            warmup=warmup,
            min_block_ms=min_block_ms,
            time_limit_s=time_limit_s,
            max_ratio=float("inf"),
        )
    except KasError as error:  # names the argument as a key of a study file
        raise KasError(str(error).removeprefix("cost.")) from None
    return compare(original, candidate, example, settings)


def compare(
    original: nn.Module | Prepared,
    candidate: nn.Module | Prepared,
    example_input: Any,
    settings: CostSettings,
    *,
    lock: DeviceLock | None = None,
    runtime: Runtime | None = None,
) -> Paired:
    """Time both networks on `example_input` ([N, ...], on the device to measure on), in eval mode, without gradients.

    runtime: by default the settings'. A network is prepared in it (a copy is, the network is left as it is); what is prepared
    already must be so for this runtime and thread count. `lock` is held alone while passes are timed. A candidate that is
    clearly slower than `settings.max_ratio` is given up early. Raises Refusal, KasError if the runtime is missing, OutOfMemory.
    """
    device = first_tensor(example_input).device
    runtime = runtime or make_runtime(settings.runtime, device)
    with memory_errors("measuring latency"), cpu_threads(settings.threads):
        first = _ready(original, example_input, settings, runtime, lock, float("inf"))
        with alone(lock):
            own = seconds(first.run, 1, device)
        patience = max(1.0, _PATIENCE * settings.max_ratio * own)
        try:
            second = _ready(candidate, example_input, settings, runtime, lock, patience)
        except Hopeless as hopeless:
            return _summary([(own, hopeless.seconds)], first, hopeless.memory_format, complete=False)
        with alone(lock):
            pairs = _pairs([first.run, second.run], device, settings, patience)
        return _summary(pairs, first, second.memory_format, complete=len(pairs) == settings.repeats)


def _ready(
    network: nn.Module | Prepared,
    example: Any,
    settings: CostSettings,
    runtime: Runtime,
    lock: DeviceLock | None,
    patience_s: float,
) -> Prepared:
    if isinstance(network, nn.Module):
        return prepare(network, example, settings, runtime, lock=lock, patience_s=patience_s)
    made, wanted = (network.runtime, network.threads), (runtime.name, torch.get_num_threads())
    if made != wanted:
        raise KasError(
            f"a network is prepared for {made[0]} with {made[1]} threads, but timed in {wanted[0]} with {wanted[1]}; "
            "prepare it again"
        )
    return network


def _pairs(
    runs: list[Callable[[], Any]], device: torch.device, settings: CostSettings, patience_s: float
) -> list[tuple[float, float]]:
    """Seconds of a pass of (original, candidate), again and again, the two taking turns to go first.

    A single pair, that of the warm-up, where the candidate is hopeless: it misses `_HOPELESS` times `max_ratio`, or its very
    first pass, which may plan and so does not count otherwise, takes over `patience_s`.
    """
    deadline = time.perf_counter() + settings.time_limit_s
    firsts = [seconds(run, 1, device) for run in runs]
    if firsts[1] <= patience_s:
        firsts = [min(seconds(run, 1, device) for _ in range(settings.warmup)) for run in runs]
    pairs = [(firsts[0], firsts[1])]
    if firsts[1] > min(patience_s, _HOPELESS * settings.max_ratio * firsts[0]):
        return pairs
    pairs.clear()
    counts = [max(1, round(settings.min_block_ms / 1000 / first)) for first in firsts]
    for index in range(settings.repeats):
        times = [0.0, 0.0]
        for which in (0, 1) if index % 2 == 0 else (1, 0):
            times[which] = seconds(runs[which], counts[which], device)
        pairs.append((times[0], times[1]))
        if len(pairs) >= _AT_LEAST and time.perf_counter() > deadline:
            break
        if len(pairs) >= _FIRST_LOOK and _quartiles(pairs)[0] > settings.max_ratio:
            break
    return pairs


def _summary(pairs: list[tuple[float, float]], original: Prepared, candidate_format: str, *, complete: bool) -> Paired:
    low, middle, high = _quartiles(pairs)
    return Paired(
        original_ms=1000 * statistics.median(original for original, _ in pairs),
        candidate_ms=1000 * statistics.median(candidate for _, candidate in pairs),
        ratio=middle,
        ratio_low=low,
        ratio_high=high,
        repeats=len(pairs),
        complete=complete,
        runtime=original.runtime,
        version=original.version,
        original_format=original.memory_format,
        candidate_format=candidate_format,
    )


def _quartiles(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    ratios = [candidate / original for original, candidate in pairs]
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high
