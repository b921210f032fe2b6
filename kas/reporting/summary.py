"""What a report says about a study, read once from Optuna into plain rows.

Any Optuna study will do. Facts that only a kas study has come from the user attributes of its trials (`outcome`,
`hash`, `latency_ms` ...) and of the study (`kas.reference`, `kas.config` ...); whatever is missing or is not of the
expected type is None, so that a study of somebody else's, with attributes of the same names, is still shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import optuna

from kas.reporting import pareto, stored
from kas.reporting.metric import Metric
from kas.reporting.parsing import listed, loads, number, text
from kas.reporting.rows import Row, read_row, with_runtimes

__all__ = ["Original", "Summary", "summarize"]

SHARE_REFERENCE_POINT = (0.0, 2.0)  # accuracy 0, twice the original's cost: one volume for all studies, comparable


@dataclass(frozen=True)
class Original:
    """The network that kernels are compared with.

    accuracy: the study's metric; latency in ms, MACs a sample. curve: the metric after each epoch, from 1 on.
    """

    accuracy: float
    latency_ms: float | None = None
    macs: float | None = None
    params: float | None = None
    device: str | None = None
    curve: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """A whole study: rows in trial order, the front from the cheapest kernel on (not of kas: the best first objective).

    `metric`: the first objective (of a kas study). `share`: it is a share of 1. `hypervolume`: pairs of trial
    number and volume so far. `broken`: what of it is left out, and why.
    """

    name: str
    directions: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    front: tuple[Row, ...]
    original: Original | None
    config: Mapping[str, Any]
    attributes: Mapping[str, Any]
    is_kas: bool
    metric: Metric
    reference: tuple[float, ...]
    hypervolume: tuple[tuple[int, float], ...]
    first: datetime | None
    last: datetime | None
    broken: tuple[str, ...] = ()

    @property
    def share(self) -> bool:
        return self.metric.share

    @property
    def outcomes(self) -> dict[str, int]:
        """How many rows have each outcome, the most frequent first."""
        return dict(Counter(row.outcome for row in self.rows).most_common())

    @property
    def finished(self) -> int:
        """Rows that count: they ended, and not as a duplicate, an error or cut off."""
        uncounted = {"duplicate", "error", "died", "running", "waiting", "fail"}
        return sum(row.outcome not in uncounted for row in self.rows)

    @property
    def measured(self) -> bool:
        """Whether the cost is measured latency; otherwise it is analytic work."""
        chosen = text(loads(self.config.get("objectives")).get("cost"))
        return chosen == "latency" if chosen else any(row.latency_ms is not None for row in self.rows)

    @property
    def runtime(self) -> str:
        """The runtime whose latency is the cost."""
        return text(loads(self.config.get("cost")).get("runtime")) or "eager"

    @property
    def runtimes(self) -> dict[str, Mapping[str, Any]]:
        """The runtimes that the front was measured in, the study's own first, with what is known of each."""
        if not self.is_kas or not self.measured:
            return {}
        reference = loads(self.attributes.get("kas.reference"))
        own = {"version": reference.get("runtime_version"), "memory_format": reference.get("memory_format")}
        known = loads(self.attributes.get("kas.runtimes"))
        return {self.runtime: own, **{name: loads(found) for name, found in known.items() if name != self.runtime}}

    @property
    def wanted(self) -> int | None:
        """The wanted number of finished trials, if the study says."""
        trials = number(self.attributes.get("kas.trials")) or number(self.config.get("trials"))
        return None if trials is None else int(trials)

    @property
    def original_hypervolume(self) -> float | None:
        """The hypervolume of the original alone, at its own accuracy and a cost ratio of 1."""
        if self.original is None:
            return None
        return pareto.hypervolume([(self.original.accuracy, 1.0)], self.directions, self.reference)

    def beats(self, row: Row) -> bool:
        """Whether the row costs less than the original beyond the measured spread, and is near it (`Metric.is_close`)."""
        if self.original is None or row.values is None:
            return False
        cost = row.ratio_high if row.ratio_high is not None else row.values[1]
        return cost < 1.0 and self.metric.is_close(row.values[0], self.original.accuracy)

    @property
    def best(self) -> Row | None:
        """The cheapest kernel that `beats` the original."""
        winners = [row for row in self.front if self.beats(row)]
        return min(winners, key=lambda row: row.values[1] if row.values else math.inf, default=None)


def summarize(study: optuna.Study) -> Summary:
    """Read a study. Raises KasError if its storage does not give it."""
    attributes = stored.attributes(study)
    directions = tuple(direction.name.lower() for direction in study.directions)
    is_kas = stored.is_kas(study)
    config = loads(attributes.get("kas.config"))
    metric = Metric.of(study) if is_kas else Metric(share=False)
    trials = stored.trials(study) if is_kas else study.get_trials(deepcopy=False)
    front = loads(attributes.get("kas.front")) if is_kas else {}
    rows = tuple(with_runtimes(read_row(trial), front) for trial in trials)
    counted = [row for row in rows if row.counts]
    values = [row.values for row in counted if row.values is not None]
    reference = (
        SHARE_REFERENCE_POINT
        if metric.share and metric.direction == "maximize"
        else tuple(pareto.reference_point(values, directions))
    )
    history = pareto.hypervolume_history(values, directions, reference)
    return Summary(
        name=study.study_name,
        directions=directions,
        metrics=_metric_names(study, len(directions)),
        rows=rows,
        broken=tuple(stored.broken(study)) if is_kas else (),
        front=_front(counted, directions, by=1 if is_kas else 0),
        original=_original(loads(attributes.get("kas.reference"))) if is_kas else None,
        config=config,
        attributes=attributes,
        is_kas=is_kas,
        metric=metric,
        reference=reference,
        hypervolume=tuple((row.number, volume) for row, volume in zip(counted, history, strict=True)),
        first=min((trial.datetime_start for trial in trials if trial.datetime_start), default=None),
        last=max((trial.datetime_complete for trial in trials if trial.datetime_complete), default=None),
    )


def _front(counted: list[Row], directions: tuple[str, ...], by: int) -> tuple[Row, ...]:
    """The non-dominated rows, the best of the objective `by` first (of a kas study: the cheapest)."""
    points = [row.values or () for row in counted]
    sign = 1.0 if directions[by] == "minimize" else -1.0
    return tuple(counted[i] for i in sorted(pareto.front(points, directions), key=lambda i: sign * points[i][by]))


def _metric_names(study: optuna.Study, count: int) -> tuple[str, ...]:
    names = stored.system_attribute(study, "study:metric_names", listed(text, count))
    return tuple(names) if names else tuple(f"objective {number}" for number in range(count))


def _original(reference: Mapping[str, Any]) -> Original | None:
    accuracy = number(reference.get("accuracy"))
    if accuracy is None:
        return None
    numbers = {name: number(reference.get(name)) for name in ("latency_ms", "macs", "params")}
    epochs = enumerate(reference.get("curve") or (), start=1)
    curve = {epoch: value for epoch, value in epochs if number(value) is not None}
    return Original(accuracy, device=text(reference.get("device")), curve=curve, **numbers)
