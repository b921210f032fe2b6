"""A kernel as one more thing that an Optuna trial can suggest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler, PartialFixedSampler
from optuna.trial import Trial

from kas.language import Infeasible, InvalidKernel, KasError, Kernel
from kas.language.errors import shown
from kas.solvers import Target, solve
from kas.study import attributes as keys
from kas.study.genome import FIRST, attribute
from kas.study.sampler import KernelSampler

__all__ = ["suggest_kernel"]


def suggest_kernel(
    trial: Trial,
    targets: Sequence[Target] | None = None,
    budget: Mapping[str, Any] | None = None,
    rank: int | None = None,
    name: str = FIRST,
) -> Kernel:
    """A kernel of a trial, for use in anybody's `study.optimize`; the study's sampler must be a `kas.KernelSampler`.

    targets, budget, rank: what the kernel is for, where that is not what the sampler was made for. A kernel that has no
    sizes for the targets within the budget prunes the trial (`optuna.TrialPruned`).
    name: of the kernel. Several kernels of a trial have different names, each its own targets or rank; they are bred
    together. The same name again gives the same kernel.

    The program, hash and family become the user attributes `program`, `hash` and `family`; those of a kernel of another name
    `program:NAME` and so on. The ops of its steps are the parameters `NAME.s00`, `NAME.s01` ..., for people. Where some of
    them are fixed (`study.enqueue_trial`, `optuna.samplers.PartialFixedSampler`), the kernel has them.

    Raises KasError if the sampler is another, for a bad name or rank, or if no legal kernel has the fixed parameters.

    >>> import optuna, kas
    >>> study = optuna.create_study(sampler=kas.KernelSampler(seeds=["bottleneck", "ghost"]))
    >>> trial = study.ask()
    >>> kas.suggest_kernel(trial).hash == kas.zoo.get("bottleneck").hash
    True
    >>> len(kas.suggest_kernel(trial, rank=0, name="head").shapes[0].sides)
    2
    """
    sampler, fixed = _sampler(trial.study.sampler)
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        raise KasError(f"a kernel's name is of letters, digits and _, as k0 or head, not {shown(name)}")
    wanted = targets[0].rank if targets else sampler.rank if rank is None else rank
    try:
        kernel = sampler.suggest(trial, name, targets=targets, budget=budget, rank=wanted, fixed=fixed)
    except InvalidKernel as error:
        raise KasError(f"the program of {name} in trial {trial.number} is no legal kernel: {error}") from None
    if kernel.rank != wanted:
        raise KasError(
            f"trial {trial.number} has a kernel {name} of rank {kernel.rank}, and one of rank {wanted} is wanted: "
            f"give it another name"
        )
    trial.set_user_attr(attribute("hash", name), kernel.hash)
    trial.set_user_attr(attribute("family", name), kernel.family)
    if targets is not None:
        try:
            solve(kernel, targets, budget)
        except Infeasible as error:
            trial.set_user_attr(keys.OUTCOME, "infeasible")
            trial.set_user_attr(keys.REASON, str(error))
            raise optuna.TrialPruned(str(error)) from None
    return kernel


def _sampler(sampler: BaseSampler) -> tuple[KernelSampler, dict[str, Any]]:
    """The sampler of kernels, and the parameters that samplers around it fix."""
    fixed: dict[str, Any] = {}
    while isinstance(sampler, PartialFixedSampler):
        fixed = {**sampler._fixed_params, **fixed}
        sampler = sampler._base_sampler
    if not isinstance(sampler, KernelSampler):
        raise KasError(
            f"suggest_kernel needs a study with sampler=kas.KernelSampler(...), not {type(sampler).__name__}: "
            "other samplers do not know what a legal kernel is"
        )
    return sampler, fixed
