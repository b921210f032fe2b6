"""How a study begins: known kernels wait as its first trials, then the sampler proposes."""

from __future__ import annotations

import optuna

from kas import zoo
from kas.language import Infeasible, Kernel
from kas.study import attributes as keys
from kas.study.bench import Bench
from kas.study.config import StudyConfig
from kas.study.genome import encode

__all__ = ["enqueue_seeds", "seed_kernels"]


def seed_kernels(config: StudyConfig, bench: Bench) -> dict[str, Kernel]:
    """The known kernels to begin with, by name: those of `search.seeds`, or all of the rank that the budget allows."""
    if config.search.seeds is not None:
        kernels = {name: zoo.get(name) for name in config.search.seeds}
        return {name: kernel for name, kernel in kernels.items() if kernel.rank == bench.rank}
    fitting = {}
    for name in zoo.names():
        kernel = zoo.get(name)
        if kernel.rank != bench.rank:
            continue
        try:
            bench.solve(kernel)
        except Infeasible:
            continue
        fitting[name] = kernel
    return fitting


def enqueue_seeds(config: StudyConfig, study: optuna.Study, bench: Bench) -> None:
    """Let the known kernels wait as trials, once for a study; to be called inside the study's lock.

    If a crash cut this off, those that are there already are left out.
    """
    if study.user_attrs.get(keys.SEEDED):
        return
    there = {trial.user_attrs.get(keys.PROGRAM) for trial in study.get_trials(deepcopy=False)}
    ops = list(study.user_attrs[keys.OPS])
    for name, kernel in seed_kernels(config, bench).items():
        program = kernel.to_json()
        if program not in there:
            params = encode(kernel, ops)
            study.enqueue_trial(params or {}, user_attrs={keys.PROGRAM: program, "seed": name})
    study.set_user_attr(keys.SEEDED, True)
