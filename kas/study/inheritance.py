"""The other parameters of a trial beside its kernels: inherited from its parents and varied, by Optuna's own NSGA-II."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers.nsgaii import PolynomialMutation, SBXCrossover
from optuna.samplers.nsgaii._child_generation_strategy import NSGAIIChildGenerationStrategy
from optuna.trial import FrozenTrial, TrialState

from kas.study.genome import is_step

__all__ = ["OtherParameters"]

_CROSSOVER = 0.9  # share of children with values between those of both parents, as Optuna has it


class OtherParameters:
    """What a trial inherits beside its kernels: every parameter that all complete trials of a study have.

    Simulated binary crossover and polynomial mutation of numbers: of Optuna's operators those that bring a learning rate
    nearest in 60 trials (`tests/benchmarks/beside_kernels.py`).
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._crossover, self._mutation = SBXCrossover(), PolynomialMutation()

    def search_space(self, study: optuna.Study) -> dict[str, BaseDistribution]:
        """The parameters that are inherited: with the same distribution in all trials, neither of a kernel nor of one value."""
        space: dict[str, BaseDistribution] | None = None
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            own = {name: one for name, one in trial.distributions.items() if not is_step(name, one)}
            known = own if space is None else space
            space = {name: one for name, one in known.items() if own.get(name) == one}
            if not space:
                break
        return {name: one for name, one in (space or {}).items() if not one.single()}

    def child(
        self, study: optuna.Study, space: dict[str, BaseDistribution], parents: list[FrozenTrial], seed: int
    ) -> dict[str, Any]:
        """The values of a child of one or two parents; those that are not in it are to be drawn at random.

        A number is varied near the parents' with the chance 1 / (parameters + 1), as the kernel is varied too; of a
        categorical any choice is taken then.
        """
        child = NSGAIIChildGenerationStrategy(
            crossover=self._crossover,
            crossover_prob=_CROSSOVER if len(parents) > 1 else 0.0,
            mutation=self._mutation,
            mutation_prob=1 / (len(space) + 1),
            swapping_prob=0.5,
            rng=LazyRandomState(seed),
        )
        return child(study, space, parents)
