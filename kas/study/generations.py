"""Generations and parents as Optuna's genetic samplers keep them in a study, with broken trials left out."""

from __future__ import annotations

import optuna
from optuna.samplers import BaseGASampler
from optuna.trial import FrozenTrial, TrialState

from kas.reporting import stored
from kas.reporting.pareto import select
from kas.reporting.parsing import count, counts

__all__ = ["Generations", "violation"]


class Generations(BaseGASampler):
    """The part of a genetic sampler that says which trials are of a generation, and which of them are its parents."""

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """The generation of a trial, given to it if it has none, as Optuna does; broken trials are of none."""
        known = count(trial.system_attrs.get(self._GENERATION_KEY))
        if known is not None:
            return known
        complete = [other for other in stored.trials(study) if other.state == TrialState.COMPLETE]
        generations = [other.system_attrs.get(self._GENERATION_KEY, -1) for other in complete]
        latest = max([0, *generations])
        generation: int = latest + (generations.count(latest) >= (self.population_size or 0))
        study._storage.set_trial_system_attr(trial._trial_id, self._GENERATION_KEY, generation)
        return generation

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The complete trials of a generation that are not broken."""
        return [trial for trial in super().get_population(study, generation) if not stored.faults(trial)]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The parents of a generation, chosen once: the numbers that are kept are Optuna's; broken ones are chosen again."""
        key = f"{self._PARENT_CACHE_KEY_PREFIX}{generation}"
        if stored.system_attribute(study, key, counts) is None:
            study._storage.set_study_system_attr(study._study_id, key, None)
        return [trial for trial in super().get_parent_population(study, generation) if not stored.faults(trial)]

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The best of the generation before and of its own parents: whole fronts, then the least crowded."""
        candidates = [*self.get_population(study, generation - 1), *self.get_parent_population(study, generation - 1)]
        unique = list({trial.number: trial for trial in candidates if trial.state == TrialState.COMPLETE}.values())
        values = [tuple(trial.values) for trial in unique]
        directions = [direction.name.lower() for direction in study.directions]
        size = self.population_size or len(unique)
        return [unique[i] for i in select(values, directions, size, [violation(trial) for trial in unique])]


def violation(trial: FrozenTrial) -> float:
    """How far a trial is past its constraints, 0 if it meets them all."""
    return sum(max(value, 0.0) for value in trial.constraints.values())
