"""Kernels of a study measured again on this machine, against the original, in a runtime: what `measure` does.

It needs the study's storage and configuration, no data and no trained weights: the same kernel at the same sizes in the
same network takes the same time, whatever its weights are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import optuna
import torch

import kas
from kas.evaluation import OutOfMemory
from kas.evaluation.devices import cpu_threads, describe_device
from kas.evaluation.runtimes import Refusal, make_runtime
from kas.language import Kernel
from kas.reporting import stored
from kas.study import attributes as keys
from kas.study.config import StudyConfig
from kas.study.storage.files import StudyFolder
from kas.study.storage.measurements import keep
from kas.study.storage.records import TrialRecord
from kas.study.workers.adapters import stored_targets
from kas.study.workers.bench import Bench
from kas.study.workers.pairing import measure, pool

__all__ = ["make_bench", "measure_here"]

Progress = Callable[[str], None]


def make_bench(study: optuna.Study, config: StudyConfig, folder: StudyFolder) -> Bench:
    """What the study's networks are timed on here, without its data: their shape and classes are in the study.

    The targets have the adapters that the study decided on. Raises KasError as `Bench` does.
    """
    known = stored.attribute(study, keys.INPUT)
    data = known and SimpleNamespace(
        input_shape=_shape(known["shape"]), num_classes=known["classes"], dtype=known.get("dtype", "float32")
    )
    bench = Bench(config, folder, data=data)
    bench.adopt(stored_targets(study))
    return bench


def _shape(stored: Any) -> Any:
    """A shape, or several, as `plain_shape` stored it."""
    if isinstance(stored, dict):
        return {name: _shape(one) for name, one in stored.items()}
    return tuple(_shape(one) for one in stored) if isinstance(stored, list) else int(stored)


def measure_here(bench: Bench, runtime: str, kernels: Sequence[TrialRecord], progress: Progress) -> dict[str, Any]:
    """Measure kernels in a runtime, each in one paired session, and keep the measurement in the study's folder.

    It is written after each kernel. `progress` is told what goes on, in words. Returns the measurement as it is stored: the
    conditions, and for each kernel what `pool` says of it, or `refused`, the reason. Raises Refusal if the runtime does not
    take the original network, KasError if it is missing.
    """
    settings = bench.config.cost
    with cpu_threads(settings.threads):
        device, threads = describe_device(bench.device), torch.get_num_threads()
    measurement: dict[str, Any] = {
        "study": bench.config.name,
        "device": re.sub(r" \(\d+ threads?\)$", "", device),
        "runtime": runtime,
        "version": make_runtime(runtime, bench.device).version(),
        "batch_size": settings.batch_size,
        "threads": threads,
        "kas": kas.__version__,
        "kernels": {},
    }
    progress(f"preparing the original in {runtime}")
    bench.timed_original(runtime)
    for position, record in enumerate(kernels, 1):
        progress(f"measuring {record.hash} in {runtime}, {position} of {len(kernels)}")
        measurement["kernels"][str(record.hash)] = _measured(bench, record, runtime)
        measurement["time"] = datetime.now().astimezone().isoformat(timespec="seconds")
        keep(bench.folder, measurement)
    return measurement


def _measured(bench: Bench, record: TrialRecord, runtime: str) -> dict[str, Any]:
    """One kernel at the sizes that the study found for it."""
    assert record.sizes is not None
    sizes: Any = SimpleNamespace(groups=record.sizes["groups"], values=record.sizes["values"])
    try:
        return pool([measure(bench, Kernel.from_json(str(record.program)), sizes, runtime)])
    except (Refusal, OutOfMemory) as error:
        return {"refused": str(error)}
