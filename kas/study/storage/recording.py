"""Writing down what a trial has come to."""

from __future__ import annotations

import math
from typing import Any

from optuna.storages import BaseStorage
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY

from kas.study import attributes as keys
from kas.study.attributes import Outcome

__all__ = ["record"]


def record(storage: BaseStorage, trial_id: int, outcome: Outcome) -> None:
    """Write everything about an outcome, its name last; a duplicate gets its hash after that, it never holds a kernel."""
    constraints = {name: float(value) for name, value in outcome.constraints.items() if math.isfinite(value)}
    for name, value in constraints.items():
        storage.set_trial_system_attr(trial_id, f"{_CONSTRAINTS_KEY}:{name}", value)
    attributes: dict[str, Any] = {
        **outcome.attributes,
        **({f"constraint.{name}": value for name, value in constraints.items()}),
        **({keys.REASON: outcome.reason} if outcome.reason else {}),
        **({keys.VALUES: list(outcome.values)} if outcome.values is not None else {}),
    }
    late = attributes.pop("hash", None) if outcome.name == "duplicate" else None
    for key, found in attributes.items():
        storage.set_trial_user_attr(trial_id, key, found)
    storage.set_trial_user_attr(trial_id, keys.OUTCOME, outcome.name)
    if late is not None:
        storage.set_trial_user_attr(trial_id, "hash", late)
