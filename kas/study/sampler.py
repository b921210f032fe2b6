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
from kas.generation import GenerationSettings, Sampler
from kas.language import OPS, KasError, Kernel
from kas.reporting import stored
from kas.solvers.targets import Target
from kas.study import attributes as keys
from kas.study.breeding import FEWEST_PARENTS, Breeder, tournament
from kas.study.generations import Generations
from kas.study.genome import FIRST, attribute, fixed_ops, is_step, keeps, parameters, program_of, suggest_ops
from kas.study.inheritance import OtherParameters

__all__ = ["DEFAULT_SEEDS", "KernelSampler"]

# What people already know, by rank: the head of a search that names no seeds, where the budget allows it.
DEFAULT_SEEDS = {
    2: ("depthwise_separable", "grouped3x3", "bottleneck", "inverted_residual", "ghost", "squeeze_excitation"),
    1: ("depthwise_separable1d", "grouped1d3", "bottleneck1d"),
    0: ("low_rank_linear", "grouped_linear"),
}
RANKS = {2: "images", 1: "sequences", 0: "linear layers"}


class KernelSampler(Generations):
    """Suggests whole legal kernels: first known ones, then children of the best by crossover and mutation of programs.

    For `kas.suggest_kernel(trial, ...)` in any `study.optimize`. Other parameters that all trials have are inherited from
    the same parents and varied, by Optuna's own crossover and mutation; the rest are drawn at random. Parents are chosen by
    NSGA-II's constrained non-dominated sort and crowding distance.

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
        self.mutation, self.blind, self.seed = mutation, blind, seed
        self._forbidden = frozenset(_kernel(known).family for known in forbidden_families)
        self._is_seeded = seeds is not None
        self.seeds = self._known(self.source) if seeds is None else self._checked(seeds)
        self._breeders: dict[Any, Breeder] = {}
        self._others = OtherParameters()
        self._random = RandomSampler(seed=seed)

    def _known(self, source: Sampler) -> list[Kernel]:
        """The well-known kernels that fit a source."""
        forbidden = set(source.settings.forbidden)
        known = [zoo.get(name) for name in DEFAULT_SEEDS[source.rank]]
        fitting = [k for k in known if source.fits(k) and not forbidden & {step.op for step in k.steps}]
        return [k for k in fitting if k.family not in self._forbidden]

    def _checked(self, seeds: Sequence[Kernel | str]) -> list[Kernel]:
        chosen = [_kernel(seed) for seed in seeds]
        for seed, kernel in zip(seeds, chosen, strict=True):
            if kernel.rank != self.rank:
                raise KasError(
                    f"the seed {seed!r} is a kernel of rank {kernel.rank} ({RANKS[kernel.rank]}); the search is for kernels of "
                    f"rank {self.rank} ({RANKS[self.rank]}), such as {', '.join(DEFAULT_SEEDS[self.rank])}"
                )
            if self._forbidden and kernel.family in self._forbidden:
                raise KasError(f"the seed {seed!r} is of a forbidden family: leave it out, or allow the family")
        return chosen

    def ops(self, study: optuna.Study) -> tuple[str, ...]:
        """The ops of a study, stored when it was created: ops of a later kas join new studies only."""
        known = stored.attribute(study, keys.OPS)
        if known is None:
            known = list(OPS)
            study.set_user_attr(keys.OPS, known)
        return tuple(known)

    def suggest(
        self,
        trial: optuna.Trial,
        name: str = FIRST,
        *,
        targets: Sequence[Target] | None = None,
        budget: Mapping[str, Any] | None = None,
        rank: int | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> Kernel:
        """A kernel of a trial, with its program and its parameters stored; one that the trial carries stays as it is.

        targets, budget, rank: of the kernel, where they are not the sampler's. fixed: given parameters, some of them perhaps
        of the kernel, besides those that the trial was enqueued with: the kernel has them.
        Raises KasError if no legal kernel has the given parameters, or the trial carries a program without them.
        """
        study, ops = trial.study, self.ops(trial.study)
        frozen = trial.storage.get_trial(trial._trial_id)
        given = fixed_ops({**frozen.system_attrs.get("fixed_params", {}), **(fixed or {})}, name)
        text = frozen.user_attrs.get(attribute(keys.PROGRAM, name))
        kernel: Kernel | None
        if text:
            kernel = Kernel.from_json(text)
            kernel = kernel if keeps(kernel, given) else None
        else:
            breeder = self._breeder(ops, targets, budget, rank)
            seed, others = (self.seed, trial.number), [one for one in stored.trials(study) if one.number != trial.number]
            if given:
                known = (kernel for one in reversed(others) if (kernel := program_of(one, name)) is not None)
                kernel = breeder.given(given, known, seed)
            else:
                kernel, descent = breeder.propose(seed, _hashes(others, name), self.parents(study, frozen), name)
                trial.set_user_attr(attribute(keys.PARENTS, name), list(descent))
        if kernel is None:
            steps = ", ".join(f"{name}.s{number:02d}={op}" for number, op in sorted(given.items()))
            why = "its program has not" if text else "no legal kernel was found that has"
            raise KasError(f"trial {trial.number} is to have {steps}, which {why}: fix fewer of these parameters")
        trial.set_user_attr(attribute(keys.PROGRAM, name), kernel.to_json())
        suggest_ops(trial, kernel, ops, name)
        return kernel

    def _breeder(
        self,
        ops: tuple[str, ...],
        targets: Sequence[Target] | None = None,
        budget: Mapping[str, Any] | None = None,
        rank: int | None = None,
    ) -> Breeder:
        """What proposes kernels for these targets, or for the sampler's own, of the ops that the study has."""
        own = self.source
        is_same = targets is not None and list(targets) == own.targets and budget in (None, own.budget)
        is_own = is_same or (targets is None and rank in (None, self.rank))
        key = (ops, None) if is_own else (ops, rank, tuple(targets or ()), repr(budget))
        if key not in self._breeders:
            later = [op for op in own.settings.weights if op not in ops]
            settings = replace(own.settings, forbidden=[*own.settings.forbidden, *later]) if later else own.settings
            if is_own:
                source = Sampler(self.rank, own.targets, own.budget, settings, own.also) if later else own
                seeds = self.seeds
            else:
                source = Sampler(targets[0].rank if targets else int(rank or 0), targets, budget, settings)
                seeds = [kernel for kernel in self.seeds if kernel.rank == source.rank]
                seeds = seeds if self._is_seeded else self._known(source)
            self._breeders[key] = Breeder(source, seeds, self._forbidden, self.mutation, self.blind)
        return self._breeders[key]

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Assign the generation now, so that enqueued trials become parents too."""
        self.get_trial_generation(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters beside the kernels that all complete trials have."""
        return self._others.search_space(study)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters beside the kernels, of a child of the same two parents as the kernels."""
        parents = self.parents(study, trial) if search_space else []
        if len(parents) < FEWEST_PARENTS:
            return {}
        rng = np.random.default_rng([self.seed, trial.number])
        pair = {one.number: one for one in (tournament(parents, rng), tournament(parents, rng))}
        return self._others.child(study, search_space, list(pair.values()), int(rng.integers(2**31)))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The op of a kernel's step, as the program of the trial has it; any other parameter at random."""
        name = param_name.rpartition(".")[0]
        kernel = program_of(trial, name) if is_step(param_name, param_distribution) else None
        if kernel is not None:
            return parameters(kernel, name)[param_name]
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """For parallel use by Optuna; the draws of kernels depend on the trial's number and need nothing."""
        self._random.reseed_rng()


# The keys under which Optuna stores generations and parents: named here, so that a rename of the class restarts no search.
KernelSampler._GENERATION_KEY = "kas.KernelSampler:generation"
KernelSampler._PARENT_CACHE_KEY_PREFIX = "kas.KernelSampler:parent:"


def _kernel(known: Kernel | str) -> Kernel:
    return zoo.get(known) if isinstance(known, str) else known


def _hashes(trials: Sequence[FrozenTrial], name: str) -> set[str]:
    """The hashes of the kernels of a name that trials hold or held."""
    found: set[str] = set()
    for trial in trials:
        digest = trial.user_attrs.get(attribute("hash", name))
        if digest is not None:
            found.add(digest)
        elif (kernel := program_of(trial, name)) is not None:
            found.add(kernel.hash)
    return found
