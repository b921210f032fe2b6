"""One trial of any Optuna study as a row: plain, checked facts, from its values and its user attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from kas.reporting import naming
from kas.reporting.parsing import count, listed, loads, number, text

__all__ = ["LATENCY", "Row", "Timing", "read_row", "read_timing", "with_runtimes"]

LATENCY = ("latency_ms", "original_latency_ms", "ratio", "ratio_low", "ratio_high", "speedup")


@dataclass(frozen=True)
class Timing:
    """A paired measurement of a kernel in one runtime, or why there is none. Latencies in ms, ratios kernel over original."""

    latency_ms: float | None = None
    original_latency_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    speedup: float | None = None
    version: str | None = None
    memory_format: str | None = None
    original_format: str | None = None
    refused: str | None = None

    @property
    def speedup_range(self) -> tuple[float, float] | None:
        """The quartiles of the speed-up, the smaller first."""
        return _speedup_range(self.ratio_low, self.ratio_high)


@dataclass(frozen=True)
class Row:
    """One trial. `outcome` is the kas outcome, or Optuna's state for a trial without one.

    `values` are there only if all are finite. Units: latency in ms, that of the original in the same paired session beside
    it, `ratio` and its quartiles candidate over original, speedup original over candidate, seconds.
    `runtimes`: what was measured in other runtimes than the study's, by name, as `Timing` says.
    `sizes`: `groups` and `values` of the kernel. `curve`: the first objective after each epoch, from 1 on, as it was trained.
    `parents`: the trials whose kernels this one descends from.
    """

    number: int
    outcome: str
    values: tuple[float, ...] | None = None
    feasible: bool = True
    reason: str | None = None
    hash: str | None = None
    program: str | None = None
    accuracy: float | None = None
    latency_ms: float | None = None
    original_latency_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    speedup: float | None = None
    macs: float | None = None
    params: float | None = None
    epochs: float | None = None
    seconds: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    runtimes: Mapping[str, Timing] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    parents: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """What people call its kernel: the name of a known one, or the hash."""
        return naming.kernel_name(self.hash)

    @property
    def speedups(self) -> dict[str, float]:
        """The speed-up in each other runtime that it was measured in."""
        return {name: timing.speedup for name, timing in self.runtimes.items() if timing.speedup is not None}

    @property
    def counts(self) -> bool:
        """Whether the trial has objective values that may stand on the front. An `ok` of kas met its limits."""
        return self.values is not None and (self.outcome == "ok" or (self.outcome == "complete" and self.feasible))

    @property
    def speedup_range(self) -> tuple[float, float] | None:
        """The spread of the speedup, the smaller first: the quartiles of the paired measurement."""
        return _speedup_range(self.ratio_low, self.ratio_high)


def read_row(trial: FrozenTrial) -> Row:
    """One trial as a row. A trial without values (pruned, failed, running) has its outcome and reason all the same."""
    attributes = trial.user_attrs
    values = tuple(trial.values) if trial.state == TrialState.COMPLETE and trial.values else None
    names = ("accuracy", *LATENCY, "macs", "params", "epochs")
    numbers: dict[str, Any] = {name: number(attributes.get(name)) for name in names}
    return Row(
        number=trial.number,
        outcome=_outcome(trial),
        values=values if values and all(math.isfinite(value) for value in values) else None,
        feasible=all(value <= 0 for value in trial.constraints.values()),
        reason=text(attributes.get("reason")),
        hash=text(attributes.get("hash")),
        program=text(attributes.get("program")),
        seconds=trial.duration.total_seconds() if trial.duration else None,
        parameters=trial.params,
        sizes=loads(attributes.get("sizes")),
        curve={step: value for step, value in sorted(trial.intermediate_values.items()) if number(value) is not None},
        parents=tuple(listed(count)(attributes.get("parents")) or ()),
        **numbers,
    )


def with_runtimes(row: Row, front: Mapping[str, Any]) -> Row:
    """The row with what its kernel was measured at in other runtimes, from the study's attribute `kas.front`."""
    found = loads(loads(front.get(row.hash or "")).get("runtimes"))
    return replace(row, runtimes={name: read_timing(data) for name, data in found.items()}) if row.counts else row


def read_timing(data: Any) -> Timing:
    """A measurement in a runtime as it was stored; what is missing or of another type is None."""
    known: dict[str, Any] = {name: number(loads(data).get(name)) for name in LATENCY}
    known |= {name: text(loads(data).get(name)) for name in ("version", "memory_format", "original_format", "refused")}
    return Timing(**known)


def _speedup_range(low: float | None, high: float | None) -> tuple[float, float] | None:
    return (1 / high, 1 / low) if low and high else None


def _outcome(trial: FrozenTrial) -> str:
    if trial.user_attrs.get("died") is True:
        return "died"
    return text(trial.user_attrs.get("outcome")) or trial.state.name.lower()
