"""A kernel as one more thing that an Optuna trial can suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import Trial

from kas.language import Infeasible, InvalidKernel, KasError, Kernel
from kas.solvers import Target, solve
from kas.study import attributes as keys
from kas.study.genome import suggest_program
from kas.study.sampler import KernelSampler

__all__ = ["suggest_kernel"]


def suggest_kernel(
    trial: Trial, targets: Sequence[Target] | None = None, budget: Mapping[str, Any] | None = None, rank: int | None = None
) -> Kernel:
    """The kernel of a trial, for use in anybody's `study.optimize`; the study's sampler must be a `kas.KernelSampler`.

    Records the program, hash and family as user attributes. With targets, a kernel that has no sizes for them within the
    budget prunes the trial (`optuna.TrialPruned`); give the sampler the same targets and budget, and it suggests none.

    Raises KasError if the sampler is another.

    >>> import kas
    >>> study = optuna.create_study(directions=["minimize", "maximize"], sampler=kas.KernelSampler(seed=0))
    >>> def objective(trial):
    ...     kernel = suggest_kernel(trial)
    ...     return len(kernel.steps), trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    >>> study.optimize(objective, n_trials=2)
    >>> "program" in study.trials[0].user_attrs
    True
    """
    sampler = trial.study.sampler
    if not isinstance(sampler, KernelSampler):
        raise KasError(
            f"suggest_kernel needs a study with sampler=kas.KernelSampler(...), not {type(sampler).__name__}: "
            "other samplers do not know what a legal kernel is"
        )
    wanted = targets[0].rank if targets else sampler.rank if rank is None else rank
    try:
        kernel = suggest_program(trial, sampler.ops(trial.study), wanted)
    except InvalidKernel as error:
        raise KasError(f"the parameters of trial {trial.number} are no legal kernel: {error}") from None
    trial.set_user_attr(keys.PROGRAM, kernel.to_json())
    trial.set_user_attr("hash", kernel.hash)
    trial.set_user_attr("family", kernel.family)
    if targets is not None:
        try:
            solve(kernel, targets, budget)
        except Infeasible as error:
            trial.set_user_attr(keys.OUTCOME, "infeasible")
            trial.set_user_attr(keys.REASON, str(error))
            raise optuna.TrialPruned(str(error)) from None
    return kernel
