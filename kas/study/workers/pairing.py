"""Paired sessions of a study's networks: a kernel against the original, and several sessions as one measurement."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from kas.evaluation import Paired, compare
from kas.evaluation.failures import memory_errors
from kas.language import Kernel
from kas.solvers import Sizes
from kas.study.workers.bench import Bench

__all__ = ["SESSIONS", "latency_attributes", "measure", "pool"]

SESSIONS = 3  # that are pooled for a kernel of the front


def measure(bench: Bench, kernel: Kernel, sizes: Sizes, runtime: str | None = None) -> Paired:
    """Time the deployed network with the kernel against the original in a runtime (by default the study's): one paired session.

    Raises KasError if the runtime is missing or refuses the original, Refusal if it refuses the network with the kernel.
    """
    original = bench.timed_original(runtime)
    with memory_errors("building the network"):
        candidate, example = bench.timed(bench.deploy(kernel, sizes)), bench.measured_example
    return compare(original, candidate, example, bench.config.cost, lock=bench.lock, runtime=bench.runtime(runtime))


def latency_attributes(paired: Paired) -> dict[str, Any]:
    """A paired measurement as user attributes; milliseconds, ratios."""
    return {
        "runtime": paired.runtime,
        "runtime_version": paired.version,
        "original_format": paired.original_format,
        "memory_format": paired.candidate_format,
        "latency_ms": paired.candidate_ms,
        "original_latency_ms": paired.original_ms,
        "ratio": paired.ratio,
        "ratio_low": paired.ratio_low,
        "ratio_high": paired.ratio_high,
        "speedup": paired.speedup,
    }


def pool(sessions: Sequence[Paired]) -> dict[str, Any]:
    """Several paired sessions as one measurement, with the names of the user attributes; milliseconds, ratios.

    Runtime version and memory formats are those of the last: there is one original in a process, prepared once.
    """
    ratio = statistics.median(session.ratio for session in sessions)
    return {
        "latency_ms": statistics.median(session.candidate_ms for session in sessions),
        "original_latency_ms": statistics.median(session.original_ms for session in sessions),
        "ratio": ratio,
        "ratio_low": min(session.ratio_low for session in sessions),
        "ratio_high": max(session.ratio_high for session in sessions),
        "speedup": 1 / ratio,
        "measured": len(sessions),
        "version": sessions[-1].version,
        "memory_format": sessions[-1].candidate_format,
        "original_format": sessions[-1].original_format,
    }
