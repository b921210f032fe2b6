"""Generations and parents as Optuna's genetic samplers keep them in a study, with trials that are no parents left out."""

from __future__ import annotations

import math

import optuna
from optuna.samplers import BaseGASampler
from optuna.trial import FrozenTrial, TrialState

from kas.reporting import stored
from kas.reporting.pareto import crowding_distance, non_dominated_sort, select
from kas.reporting.parsing import count, counts

__all__ = ["Generations", "Standing"]

Standing = tuple[int, float]  # the front of a parent and how crowded it is there (lower is better in both)


class Generations(BaseGASampler):
    """The part of a genetic sampler that says which trials are of a generation, and which of them are its parents.

    Broken trials are of none, and trials with an infinite value are no parents.
    """

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
        """The trials of a generation that may be parents."""
        return [trial for trial in super().get_population(study, generation) if _may_breed(trial)]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The parents of a generation, chosen once: the numbers that are kept are Optuna's; broken ones are chosen again."""
        key = f"{self._PARENT_CACHE_KEY_PREFIX}{generation}"
        if stored.system_attribute(study, key, counts) is None:
            study._storage.set_study_system_attr(study._study_id, key, None)
        return [trial for trial in super().get_parent_population(study, generation) if _may_breed(trial)]

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The best of the generation before and of its own parents: whole fronts, then the least crowded."""
        candidates = [*self.get_population(study, generation - 1), *self.get_parent_population(study, generation - 1)]
        unique = list({trial.number: trial for trial in candidates if trial.state == TrialState.COMPLETE}.values())
        size = self.population_size or len(unique)
        violations = [_violation(trial) for trial in unique]
        return [unique[i] for i in select([trial.values for trial in unique], _directions(study), size, violations)]

    def parents(self, study: optuna.Study, trial: FrozenTrial) -> list[tuple[FrozenTrial, Standing]]:
        """The trials that a trial descends from, each with its standing; in the first generation the best so far."""
        generation = self.get_trial_generation(study, trial)
        chosen = self.get_parent_population(study, generation) if generation else self.select_parent(study, 1)
        values, directions = [parent.values for parent in chosen], _directions(study)
        standing: dict[int, Standing] = {}
        for rank, members in enumerate(non_dominated_sort(values, directions, [_violation(parent) for parent in chosen])):
            distances = crowding_distance([values[i] for i in members], directions)
            standing.update({i: (rank, -distance) for i, distance in zip(members, distances, strict=True)})
        return [(parent, standing[i]) for i, parent in enumerate(chosen)]


def _directions(study: optuna.Study) -> list[str]:
    return [direction.name.lower() for direction in study.directions]


def _may_breed(trial: FrozenTrial) -> bool:
    """An infinite value would lead every front for ever."""
    return not stored.faults(trial) and bool(trial.values) and all(map(math.isfinite, trial.values))


def _violation(trial: FrozenTrial) -> float:
    """How far a trial is past its constraints, 0 if it meets them all."""
    return sum(max(value, 0.0) for value in trial.constraints.values())
