"""The sampler: NSGA-II whose genomes are programs, as an Optuna sampler for anybody's study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from kas import zoo
from kas.generation import GenerationSettings, Sampler, crossover, mutate
from kas.generation.choice import pick
from kas.language import OPS, KasError, Kernel
from kas.reporting import stored
from kas.reporting.pareto import crowding_distance, non_dominated_sort
from kas.solvers.targets import Target
from kas.study import attributes as keys
from kas.study.generations import Generations, violation
from kas.study.genome import encode, fits_genome, program_of, search_space

__all__ = ["DEFAULT_SEEDS", "KernelSampler"]

# What people already know, by rank: the head of a search that names no seeds, where the budget allows it.
DEFAULT_SEEDS = {
    2: ("depthwise_separable", "grouped3x3", "bottleneck", "inverted_residual", "ghost", "squeeze_excitation"),
    1: ("depthwise_separable1d", "grouped1d3", "bottleneck1d"),
    0: ("low_rank_linear", "grouped_linear"),
}
RANKS = {2: "images", 1: "sequences", 0: "linear layers"}
_FEWEST_PARENTS = 3  # before so many trials are complete, kernels are drawn blindly
Parents = list[tuple[Kernel, tuple[int, float]]]  # each with its front and how crowded it is there

_ATTEMPTS = 50  # to find a kernel that the study has not had


class KernelSampler(Generations):
    """Suggests whole legal kernels: first known ones, then children of the best by crossover and mutation of programs.

    For `kas.suggest_kernel(trial, ...)` in any `study.optimize`; other parameters of the trial are drawn at random.
    Parents are chosen by NSGA-II's constrained non-dominated sort and crowding distance.

    Args:
        targets, budget: kernels that fit these are suggested (`kas.find_targets`, `kas.solve`); None: any.
        rank: of the kernels; taken from the targets if given.
        settings: what sampled programs look like.
        seeds: known kernels (or names of `kas.zoo`) to begin with. None: well-known ones that fit; (): none.
        population_size: kernels in a generation.
        mutation: share of children made by mutation; the others are spliced from two parents.
        blind: share of blind samples among the children.
        seed: of all draws. The draw of a trial depends on the seed, its number, and what the study holds.
        also: further targets at which kernels must exist, outside the budget.
        forbidden_families: known kernels (or names of `kas.zoo`) of whose families (`kernel.family`) none is suggested.

    Raises KasError for an unknown or forbidden seed kernel, one of another rank, a budget that is none, or targets of another
    rank.

    >>> targets = [Target("conv", in_channels=16, out_channels=16, size=(8, 8))]
    >>> sampler = KernelSampler(targets, {"macs": 0.5}, seed=0)
    >>> sampler.seeds[0] == zoo.get("depthwise_separable")
    True
    """

    def __init__(
        self,
        targets: Sequence[Target] | None = None,
        budget: Mapping[str, Any] | None = None,
        *,
        rank: int | None = None,
        settings: GenerationSettings | None = None,
        seeds: Sequence[Kernel | str] | None = None,
        population_size: int = 12,
        mutation: float = 0.7,
        blind: float = 0.1,
        seed: int = 0,
        also: Sequence[Target] = (),
        forbidden_families: Sequence[Kernel | str] = (),
    ):
        super().__init__(population_size)
        self.rank = targets[0].rank if targets else 2 if rank is None else rank
        self.source = Sampler(self.rank, targets, budget, settings, also)
        self._restricted: dict[tuple[str, ...], Sampler] = {}
        self._arguments = targets, budget, also
        self.mutation, self.blind, self.seed = mutation, blind, seed
        self._forbidden = frozenset(_kernel(known).family for known in forbidden_families)
        self.seeds = self._seeds(seeds)
        self._others = RandomSampler(seed=seed)

    def _seeds(self, seeds: Sequence[Kernel | str] | None) -> list[Kernel]:
        if seeds is None:
            known = [zoo.get(name) for name in DEFAULT_SEEDS[self.rank]]
            forbidden = set(self.source.settings.forbidden)
            fitting = [k for k in known if self.source.fits(k) and not forbidden & {step.op for step in k.steps}]
            return [k for k in fitting if not self._is_forbidden(k)]
        chosen = [_kernel(seed) for seed in seeds]
        for seed, kernel in zip(seeds, chosen, strict=True):
            if kernel.rank != self.rank:
                raise KasError(
                    f"the seed {seed!r} is a kernel of rank {kernel.rank} ({RANKS[kernel.rank]}); the search is for kernels of "
                    f"rank {self.rank} ({RANKS[self.rank]}), such as {', '.join(DEFAULT_SEEDS[self.rank])}"
                )
            if self._is_forbidden(kernel):
                raise KasError(f"the seed {seed!r} is of a forbidden family: leave it out, or allow the family")
        return chosen

    def _is_forbidden(self, kernel: Kernel) -> bool:
        return bool(self._forbidden) and kernel.family in self._forbidden

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The genome: two parameters for each step."""
        return dict(search_space(self.ops(study)))

    def ops(self, study: optuna.Study) -> tuple[str, ...]:
        """The ops of a study, stored when it was created: ops of a later kas join new studies only."""
        known = stored.attribute(study, keys.OPS)
        if known is None:
            known = list(OPS)
            study.set_user_attr(keys.OPS, known)
        return tuple(known)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Assign the generation now, so that enqueued trials become parents too."""
        self.get_trial_generation(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The genome of a kernel that the study has not had; that of the attribute `program` if the trial has one."""
        ops = self.ops(study)
        text = trial.user_attrs.get(keys.PROGRAM)
        if text or "fixed_params" in trial.system_attrs:
            return (encode(Kernel.from_json(text), ops) or {}) if text else {}
        kernel = self.propose(study, trial, ops)
        params = encode(kernel, ops)
        if params is None:  # a seed that no genome holds
            study._storage.set_trial_user_attr(trial._trial_id, keys.PROGRAM, kernel.to_json())
        return params or {}

    def propose(self, study: optuna.Study, trial: FrozenTrial, ops: Sequence[str]) -> Kernel:
        """The next kernel: a seed that was not evaluated yet, a child of the best, or a blind sample."""
        seen = self._seen(study, trial)
        for kernel in self.seeds:
            if kernel.hash not in seen:
                return kernel
        rng = np.random.default_rng([self.seed, trial.number])
        parents = self._parents(study, self.get_trial_generation(study, trial))
        source = self._source(ops)
        kernel = self._allowed_child(parents, source, rng)
        for _ in range(_ATTEMPTS):
            if kernel.hash not in seen and fits_genome(kernel) and all(step.op in ops for step in kernel.steps):
                break
            kernel = self._allowed_child(parents, source, rng)
        return kernel

    def _source(self, ops: Sequence[str]) -> Sampler:
        """What draws programs of the ops that the study has."""
        later = [op for op in self.source.settings.weights if op not in ops]
        if not later:
            return self.source
        if tuple(ops) not in self._restricted:
            targets, budget, also = self._arguments
            settings = self.source.settings
            fewer = replace(settings, forbidden=[*settings.forbidden, *later])
            self._restricted[tuple(ops)] = Sampler(self.rank, targets, budget, fewer, also)
        return self._restricted[tuple(ops)]

    def _allowed_child(self, parents: Parents, source: Sampler, rng: np.random.Generator) -> Kernel:
        """A child outside the forbidden families. Raises KasError if nearly all are of them."""
        for _ in range(_ATTEMPTS):
            kernel = self._child(parents, source, rng)
            if not self._is_forbidden(kernel):
                return kernel
        raise KasError(f"{_ATTEMPTS} kernels in a row are of forbidden families; allow one, or widen the generation's settings")

    def _child(self, parents: Parents, source: Sampler, rng: np.random.Generator) -> Kernel:
        if len(parents) < _FEWEST_PARENTS or rng.random() < self.blind:
            return source.draw(rng)
        first = _tournament(parents, rng)
        if rng.random() < self.mutation:
            return mutate(first, source, rng)
        return crossover(first, _tournament(parents, rng), source, rng)

    def _seen(self, study: optuna.Study, trial: FrozenTrial) -> set[str]:
        """The hashes of the kernels that other trials hold or held."""
        hashes: set[str] = set()
        for other in stored.trials(study):
            if other.number == trial.number:
                continue
            if "hash" in other.user_attrs:
                hashes.add(other.user_attrs["hash"])
            elif (kernel := program_of(other, self.rank)) is not None:
                hashes.add(kernel.hash)
        return hashes

    def _parents(self, study: optuna.Study, generation: int) -> Parents:
        """The kernels to breed from, each with its front and how crowded it is there (lower is better in both)."""
        chosen = self.get_parent_population(study, generation) if generation else self.select_parent(study, 1)
        kernels = [(trial, program_of(trial, self.rank)) for trial in chosen]
        usable = [(trial, kernel) for trial, kernel in kernels if kernel is not None and kernel.rank == self.rank]
        values = [tuple(trial.values) for trial, _ in usable]
        directions = [direction.name.lower() for direction in study.directions]
        standing: dict[int, tuple[int, float]] = {}
        for rank, members in enumerate(non_dominated_sort(values, directions, [violation(t) for t, _ in usable])):
            distances = crowding_distance([values[i] for i in members], directions)
            standing.update({i: (rank, -distance) for i, distance in zip(members, distances, strict=True)})
        return [(kernel, standing[i]) for i, (_, kernel) in enumerate(usable)]

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Any parameter that is not of the genome: at random."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """For parallel use by Optuna; the draws of kernels depend on the trial's number and need nothing."""
        self._others.reseed_rng()


# The keys under which Optuna stores generations and parents: named here, so that a rename of the class restarts no search.
KernelSampler._GENERATION_KEY = "kas.KernelSampler:generation"
KernelSampler._PARENT_CACHE_KEY_PREFIX = "kas.KernelSampler:parent:"


def _kernel(known: Kernel | str) -> Kernel:
    return zoo.get(known) if isinstance(known, str) else known


def _tournament(parents: Parents, rng: np.random.Generator) -> Kernel:
    """The better of two parents drawn at random."""
    one, other = pick(rng, parents), pick(rng, parents)
    return one[0] if one[1] <= other[1] else other[0]
