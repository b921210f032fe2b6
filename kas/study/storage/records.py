"""A study as plain records: what the trials found, the reference, the front. Reads storages, needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from kas.reporting import pareto, stored
from kas.reporting.metric import Metric
from kas.reporting.naming import kernel_name
from kas.reporting.parsing import count, loads, text
from kas.study import attributes as keys
from kas.study.storage.liveness import is_alive

__all__ = [
    "Reference",
    "TrialRecord",
    "cost_name",
    "finished",
    "front",
    "metric",
    "read",
    "reference",
    "running",
    "wanted",
]


@dataclass(frozen=True, repr=False)
class TrialRecord:
    """What is known about one trial. None: not known (yet), or not measured.

    accuracy: the study's metric. latency_ms, original_latency_ms: medians of the network with the kernel and of the
    original, from the same paired measurement. ratio: candidate over original, ratio_low and ratio_high its quartiles;
    speedup: original over candidate. runtime, runtime_version: what both ran in. original_format, memory_format: contiguous or
    channels_last, of the original and of the network with the kernel. cost: the second objective. macs, params: of what
    replaces the convolutions of the network as deployed, per sample. seconds: from start to end. measured: sessions that
    `latency_ms` and `ratio` pool. runtimes: by name, what the front's kernels were measured at in the other runtimes:
    `latency_ms` and the rest of these names, `version`, `memory_format`, `original_format`; or `refused`, the reason.
    """

    number: int
    state: str
    outcome: str | None = None
    reason: str | None = None
    hash: str | None = None
    family: str | None = None
    program: str | None = None
    accuracy: float | None = None
    cost: float | None = None
    latency_ms: float | None = None
    original_latency_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    speedup: float | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    original_format: str | None = None
    memory_format: str | None = None
    macs: int | None = None
    params: int | None = None
    work: float | None = None
    sizes: Mapping[str, Any] | None = None
    epochs: int | None = None
    resumed_from_epoch: int | None = None
    train_seconds: float | None = None
    device: str | None = None
    seconds: float | None = None
    retry_of: int | None = None
    duplicate_of: int | None = None
    error: str | None = None
    measured: int = 1
    runtimes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """The trial in a line, with what is known of accuracy, cost and reason."""
        words = [f"trial {self.number}", self.outcome or self.state.lower(), kernel_name(self.hash)]
        words += [f"accuracy {self.accuracy:.4g}"] if self.accuracy is not None else []
        words += [f"cost {self.cost:.3g} of the original's"] if self.cost is not None else []
        return f"<{', '.join(filter(None, [*words, self.reason]))}>"

    @property
    def is_finished(self) -> bool:
        """Whether the trial counts towards the wanted number."""
        return self.outcome is not None and self.outcome not in keys.UNFINISHED_OUTCOMES


@dataclass(frozen=True)
class Reference:
    """The original network, trained and timed as a candidate is.

    accuracy: the study's metric. latency_ms: median of a forward pass of the network as deployed; None if cost is the analytic
    work. macs, params, work: of the layers that are replaced. seconds: of its training. device: where it was measured,
    runtime, runtime_version, memory_format: in what. curve: the metric after each epoch of its training.
    """

    accuracy: float
    latency_ms: float | None
    macs: int
    params: int
    work: float
    device: str
    epochs: int
    seconds: float | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    memory_format: str | None = None
    curve: Sequence[float | None] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reference:
        """What `to_dict` wrote; keys of a later kas are left out."""
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})


def read(study: optuna.Study) -> list[TrialRecord]:
    """A record of every trial that a worker has begun, in the order of their numbers.

    Broken trials are left out; `kas.reporting.stored.broken` names them.
    """
    front = stored.attribute(study, keys.FRONT) or {}
    return [_record(trial, front) for trial in stored.trials(study) if trial.state != optuna.trial.TrialState.WAITING]


def finished(trials: Sequence[FrozenTrial] | optuna.Study) -> int:
    """How many trials are finished: have an outcome other than `duplicate` and `error`."""
    return sum(map(keys.is_finished, _trials(trials)))


def running(trials: Sequence[FrozenTrial] | optuna.Study) -> int:
    """How many trials are running, without those whose process is known to be gone."""
    return sum(keys.is_running(t) and is_alive(t.user_attrs[keys.OWNER]) is not False for t in _trials(trials))


def wanted(study: optuna.Study) -> int | None:
    """The wanted number of finished trials; None if the study does not say."""
    return stored.attribute(study, keys.TRIALS) or count(_config(study).get("trials"))


def reference(study: optuna.Study) -> Reference | None:
    """The original network's numbers; None before they are made."""
    data = stored.attribute(study, keys.REFERENCE)
    return None if data is None else Reference.from_dict(data)


def front(records: Sequence[TrialRecord], direction: str = "maximize") -> list[TrialRecord]:
    """The non-dominated `ok` kernels, the cheapest first. The original is no trial and so never among them.

    direction: of the first objective, `metric(study).direction`.
    """
    candidates, points = list[TrialRecord](), list[tuple[float, float]]()
    for record in records:
        if record.outcome == "ok" and record.state == "COMPLETE" and record.accuracy is not None and record.cost is not None:
            candidates.append(record)
            points.append((record.accuracy, record.cost))
    members = [candidates[position] for position in pareto.front(points, (direction, "minimize"))]
    distinct = {record.hash or str(record.number): record for record in reversed(members)}
    return sorted(distinct.values(), key=lambda record: (record.cost or 0.0, record.number))


def metric(study: optuna.Study) -> Metric:
    """The first objective: its name, direction and what a constant answer gets."""
    return Metric.of(study)


def cost_name(study: optuna.Study) -> str:
    """What the second objective is: `latency` or `work`."""
    return text(loads(_config(study).get("objectives")).get("cost")) or "latency"


def _trials(trials: Sequence[FrozenTrial] | optuna.Study) -> Sequence[FrozenTrial]:
    return stored.trials(trials) if isinstance(trials, optuna.Study) else trials


def _config(study: optuna.Study) -> Mapping[str, Any]:
    return loads(stored.attribute(study, keys.CONFIG))


def _record(trial: FrozenTrial, front: Mapping[str, Mapping[str, Any]]) -> TrialRecord:
    attributes = trial.user_attrs
    names = {field.name for field in fields(TrialRecord)} - {"number", "state", "cost", "seconds", "outcome", "runtimes"}
    known: dict[str, Any] = {name: attributes[name] for name in names if name in attributes}
    if trial.values:
        known.setdefault("accuracy", trial.values[0])
    outcome = keys.outcome_of(trial)
    ended, begun = trial.datetime_complete, trial.datetime_start
    record = TrialRecord(
        number=trial.number,
        state=trial.state.name,
        outcome=outcome,
        cost=trial.values[1] if outcome == "ok" and trial.values else None,
        seconds=(ended - begun).total_seconds() if ended and begun else None,
        **known,
    )
    later = front.get(str(record.hash), {}) if outcome == "ok" else {}
    return replace(record, runtimes=later["runtimes"]) if "runtimes" in later else record
