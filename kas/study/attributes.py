"""The attributes that trials and studies carry: their names, what they say about a trial, and what a retry inherits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from kas.reporting.stored import OUTCOMES

__all__ = [
    "Outcome",
    "checked",
    "finite",
    "holds_kernel",
    "is_cut_off",
    "is_finished",
    "is_running",
    "outcome_of",
    "retry_of",
]

UNFINISHED_OUTCOMES = ("duplicate", "error")

# of a study
CONFIG, FORMAT, VERSION, OPS = "kas.config", "kas.format", "kas.version", "kas.ops"
REFERENCE, TARGETS, TRIALS, FRONT = "kas.reference", "kas.targets", "kas.trials", "kas.front"
RUNTIMES, INPUT, ID, TASK = "kas.runtimes", "kas.input", "kas.id", "kas.task"

# of a trial
OUTCOME, REASON, VALUES, OWNER, PROGRAM = "outcome", "reason", "values", "owner", "program"
RETRY_OF, DIED, DEATHS, DUPLICATE_OF = "retry_of", "died", "deaths", "duplicate_of"
PARENTS = "parents"  # the numbers of the trials whose kernels this one descends from
RESULTS = frozenset({
    OUTCOME, REASON, VALUES, OWNER, DIED, RETRY_OF, DUPLICATE_OF, "sizes", "accuracy", "latency_ms", "original_latency_ms",
    "ratio", "ratio_low", "ratio_high", "speedup", "macs", "params", "work", "health", "epochs", "resumed_from_epoch",
    "train_seconds", "device", "error", "runtime", "runtime_version", "original_format", "memory_format",
    "measured", "first_latency",
})  # fmt: skip  # what an evaluation writes; a retry inherits everything else


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    name: one of OUTCOMES. values: the two objectives, for `ok` alone. reason: why, in one line, for people.
    attributes: user attributes to record. constraints: by name; met if zero or less.
    """

    name: str
    reason: str | None = None
    values: tuple[float, float] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)


def checked(outcome: Outcome) -> Outcome:
    """The outcome as it may be stored: one of the known names, finite values, no NaN or infinity in an attribute.

    Infinity is a value that Optuna accepts and that would stay on the Pareto front for ever: an `ok` with such a value
    becomes `unhealthy`.
    """
    attributes = {key: finite(value) for key, value in outcome.attributes.items()}
    if outcome.name not in OUTCOMES:
        return Outcome("error", f"unknown outcome {outcome.name!r}", attributes=attributes)
    if outcome.name != "ok":
        return replace(outcome, values=None, attributes=attributes)
    if outcome.values is None or not all(math.isfinite(value) for value in outcome.values):
        reason = f"the objectives are {outcome.values}, which are not two finite numbers"
        return Outcome("unhealthy", reason, attributes=attributes, constraints=outcome.constraints)
    return replace(outcome, values=(float(outcome.values[0]), float(outcome.values[1])), attributes=attributes)


def finite(value: Any) -> Any:
    """JSON data with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def outcome_of(trial: FrozenTrial) -> str | None:
    """The recorded outcome of a trial that has ended; None if it has not, or was cut off."""
    return trial.user_attrs.get(OUTCOME) if trial.state.is_finished() else None


def is_finished(trial: FrozenTrial) -> bool:
    """Whether a trial counts: it has an outcome other than `duplicate` and `error`."""
    outcome = outcome_of(trial)
    return outcome is not None and outcome not in UNFINISHED_OUTCOMES


def is_running(trial: FrozenTrial) -> bool:
    """Whether a worker of kas runs this trial (or did, when it was killed)."""
    return trial.state == TrialState.RUNNING and OWNER in trial.user_attrs


def is_cut_off(trial: FrozenTrial) -> bool:
    """Whether a trial of ours was ended without an outcome: its process died, or somebody failed it by hand."""
    return trial.state == TrialState.FAIL and OWNER in trial.user_attrs and OUTCOME not in trial.user_attrs


def holds_kernel(trial: FrozenTrial) -> bool:
    """Whether the kernel that a trial carries is its own: no other trial may evaluate it."""
    if trial.state == TrialState.WAITING:
        return RETRY_OF in trial.user_attrs
    return is_finished(trial) or (is_running(trial) and trial.user_attrs.get(OUTCOME) not in UNFINISHED_OUTCOMES)


def retry_of(trial: FrozenTrial) -> FrozenTrial | None:
    """A trial to enqueue that goes on where this one was cut off, or None if it had not got as far as a program.

    Constraints are left out: they are set again. So are all results and the old owner.
    """
    if PROGRAM not in trial.user_attrs and "fixed_params" not in trial.system_attrs:
        return None
    attributes = {
        key: value for key, value in trial.user_attrs.items() if key not in RESULTS and not key.startswith("constraint.")
    }
    system = {key: value for key, value in trial.system_attrs.items() if not key.startswith(("constraints", "kas:"))}
    return create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={**attributes, RETRY_OF: trial.number},
        system_attrs=system,
    )
