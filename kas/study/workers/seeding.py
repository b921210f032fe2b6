"""The sampler of a study, begun with those known kernels of its file that can stand in its network."""

from __future__ import annotations

from kas.language import Infeasible
from kas.study.config import StudyConfig
from kas.study.sampler import KernelSampler
from kas.study.workers.bench import Bench

__all__ = ["study_sampler"]


def study_sampler(config: StudyConfig, bench: Bench) -> tuple[KernelSampler, list[str]]:
    """The sampler, and a line for each seed of the study file that no sizes within the budget exist for.

    Such a seed is left out: as a trial it would tell nobody more. Raises KasError for a seed of another rank than the
    layers to replace, and for anything else that `KernelSampler` refuses.
    """
    sampler = KernelSampler(
        list(bench.deployed.targets),
        bench.budget,
        settings=config.search.generation,
        seeds=config.search.seeds,
        population_size=config.search.population,
        mutation=config.search.mutation,
        blind=config.search.blind,
        seed=config.seed,
        also=list(bench.trained.targets),
        forbidden_families=config.search.forbidden_families,
    )
    fitting, lines = [], []
    limits = ", ".join(f"{key} {limit}" for key, limit in (bench.budget or {}).items()) or "none"
    for name, kernel in zip(config.search.seeds or (), list(sampler.seeds), strict=False):
        try:
            bench.solve(kernel)
        except Infeasible as error:
            lines.append(f"warning: the seed {name} is left out, it does not fit here with the budget {limits}: {error}")
        else:
            fitting.append(kernel)
    if config.search.seeds is not None:
        sampler.seeds[:] = fitting
    return sampler, lines
