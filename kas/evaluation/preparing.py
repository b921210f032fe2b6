"""A network made ready to be timed: in a runtime, and in the memory format that suits it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kas.evaluation.devices import cpu_threads, synchronize
from kas.evaluation.failures import memory_errors
from kas.evaluation.locks import DeviceLock
from kas.evaluation.runtimes import Runtime, make_runtime
from kas.evaluation.settings import CostSettings
from kas.language.errors import KasError
from kas.replacement.example import first_tensor

__all__ = ["Hopeless", "Prepared", "alone", "prepare", "seconds"]

_LOOKS = 5  # passes in each memory format, after the first
_LOOKS_S = 0.5  # seconds after which no further pass is made


@dataclass(frozen=True)
class Prepared:
    """A network in a runtime.

    run: one pass over its example. runtime, version: what it runs in. memory_format: contiguous or channels_last.
    threads: CPU threads of a pass.
    """

    run: Callable[[], Any]
    runtime: str
    version: str
    memory_format: str
    threads: int


class Hopeless(Exception):
    """A pass took so long that preparing was given up: its seconds, and the memory format."""

    def __init__(self, seconds: float, memory_format: str) -> None:
        super().__init__(f"a pass took {seconds:.3g} s")
        self.seconds, self.memory_format = seconds, memory_format


def prepare(
    network: nn.Module,
    example: Any,
    settings: CostSettings,
    runtime: Runtime | None = None,
    *,
    lock: DeviceLock | None = None,
    patience_s: float = float("inf"),
) -> Prepared:
    """The network ready to run on `example` ([N, ...], or several inputs; on the device to measure on), in eval mode,
    without gradients.

    runtime: by default the settings'. The network is left as it is (a copy runs). `memory_format: auto` times a few passes in
    each format and keeps the better; compile times them in eager torch, since compiling twice costs more than it tells.
    A format that the runtime or the example (other than [N, C, H, W]) knows nothing of is contiguous.

    Exporting and compiling take seconds and all cores, as a training does: they hold the `lock` as a training's batch
    does, so that no measurement runs beside them and trainings go on. Passes are timed while it is held alone.
    Raises Refusal, KasError if the runtime is missing, OutOfMemory, and Hopeless if a first pass takes over `patience_s`.
    """
    device = first_tensor(example).device
    runtime = runtime or make_runtime(settings.runtime, device)
    if missing := runtime.missing():
        raise KasError(missing)
    with cpu_threads(settings.threads), memory_errors("measuring latency"):
        formats = _formats(settings.memory_format, runtime, example)
        if len(formats) > 1:
            judge = make_runtime("eager", device) if runtime.costly else runtime
            formats = [_better(network, example, judge, formats, lock, patience_s)]
        with _shared(lock):
            run = runtime.prepare(network, example, formats[0])
        return Prepared(run, runtime.name, runtime.version(), formats[0], torch.get_num_threads())


def seconds(run: Callable[[], Any], count: int, device: torch.device) -> float:
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


def alone(lock: DeviceLock | None) -> AbstractContextManager[None]:
    """Nothing else runs on the device meanwhile."""
    return lock.exclusive() if lock is not None else nullcontext()


def _formats(wanted: str, runtime: Runtime, example: Any) -> list[str]:
    """The memory formats to choose from, the usual one first."""
    possible = [name for name in runtime.memory_formats if name == "contiguous" or first_tensor(example).ndim == 4]
    return possible if wanted == "auto" else [wanted if wanted in possible else possible[0]]


def _better(
    network: nn.Module, example: Any, judge: Runtime, formats: list[str], lock: DeviceLock | None, patience_s: float
) -> str:
    """The memory format in which the quickest pass is the quickest; formats take turns, the usual one wins a tie."""
    with _shared(lock):
        runs = [judge.prepare(network, example, name) for name in formats]
    best = [float("inf")] * len(runs)
    with alone(lock):
        deadline = time.perf_counter() + _LOOKS_S
        for look in range(1 + _LOOKS):
            for which, run in enumerate(runs):
                spent = seconds(run, 1, first_tensor(example).device)
                if look == 0 and spent > patience_s:
                    raise Hopeless(spent, formats[which])
                best[which] = min(best[which], spent)
            if time.perf_counter() > deadline:
                break
    return formats[best.index(min(best))]


def _shared(lock: DeviceLock | None) -> AbstractContextManager[None]:
    return lock.shared() if lock is not None else nullcontext()
