"""The sampler: known kernels first, then children of the best, in anybody's study."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

import kas
from kas.generation import GenerationSettings, Sampler
from kas.language import FAMILIES, OPS, Infeasible
from kas.reporting.pareto import non_dominated_sort
from kas.study import breeding
from kas.study.genome import choices, program_of

TARGETS = [kas.Target("a", 64, 64, (16, 16)), kas.Target("b", 64, 128, (8, 8), stride=2)]
BUDGET = {"macs": 0.3}


def objective(trial: optuna.Trial) -> tuple[float, float]:
    kernel = kas.suggest_kernel(trial, TARGETS, BUDGET)
    sizes = kas.solve(kernel, TARGETS, BUDGET)
    return sum(step.op in ("conv", "relu") for step in kernel.steps) / len(kernel.steps), sizes.macs / 1e6


def run(trials: int, seed: int = 0, **options: object) -> optuna.Study:
    sampler = kas.KernelSampler(TARGETS, BUDGET, seed=seed, **options)  # type: ignore[arg-type]
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def hashes(study: optuna.Study) -> list[str]:
    return [trial.user_attrs["hash"] for trial in study.trials]


def test_a_search_begins_with_known_kernels_and_repeats_none() -> None:
    study = run(30, seeds=["bottleneck", "depthwise_separable"])
    assert hashes(study)[:2] == [kas.zoo.get(name).hash for name in ("bottleneck", "depthwise_separable")]
    assert len(set(hashes(study))) == 30


def test_the_same_seed_makes_the_same_search() -> None:
    assert hashes(run(25)) == hashes(run(25))
    assert hashes(run(25)) != hashes(run(25, seed=1))


def test_parents_come_from_the_first_fronts_and_children_differ_from_blind_draws() -> None:
    study = run(40, blind=0.0)
    sampler = study.sampler
    assert isinstance(sampler, kas.KernelSampler)
    generation = max(trial.system_attrs["kas.KernelSampler:generation"] for trial in study.trials)
    assert generation >= 2
    earlier = [t for t in study.trials if t.system_attrs["kas.KernelSampler:generation"] < generation]
    fronts = non_dominated_sort([t.values for t in earlier], ["maximize", "minimize"])
    parents = {trial.number for trial in sampler.get_parent_population(study, generation)}
    best = {earlier[i].number for i in fronts[0]}
    assert len(parents) == sampler.population_size
    assert len(best & parents) >= min(len(best), sampler.population_size or 0)  # the whole first front breeds
    blind = run(40, seeds=(), blind=1.0)
    children = [t.user_attrs["hash"] for t in study.trials[30:]]
    assert not set(children) & set(hashes(blind)[30:])


def test_of_two_parents_on_one_front_the_less_crowded_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["ghost", "bottleneck", "grouped3x3", "depthwise_separable", "inverted_residual"]
    kernels = [kas.zoo.get(name).hash for name in names]
    sampler = kas.KernelSampler(TARGETS, {"macs": 0.5}, seeds=names)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for value in (0.1, 0.2, 0.25, 0.4, 0.9):  # the dearer the better: all on one front
        kas.suggest_kernel(trial := study.ask())
        study.tell(trial, (value, value))
    ranked = sampler.parents(study, study.trials[0])
    parents = {trial.user_attrs["hash"]: (program_of(trial), standing) for trial, standing in ranked}
    for better, worse in ((0, 3), (4, 3), (3, 2), (2, 1)):  # the ends, then by the distance of the neighbours
        for pair in ((better, worse), (worse, better)):
            drawn = iter([parents[kernels[i]] for i in pair])
            monkeypatch.setattr(breeding, "pick", lambda rng, choices, drawn=drawn: next(drawn))
            assert breeding.tournament([], np.random.default_rng(0)).hash == kernels[better]


def test_kernels_exist_at_the_further_targets_too() -> None:
    also = [kas.Target("narrow", 6, 6, (4, 4))]
    for named, count in (((), 0), (also, 20)):
        sampler = kas.KernelSampler(TARGETS, BUDGET, seeds=(), also=named)
        kernels = [drawn.kernel for drawn in sampler.source.stream(0, most=20)]
        assert sum(_fits(kernel, also) for kernel in kernels) >= count
        if not named:
            assert not all(_fits(kernel, also) for kernel in kernels), "these targets say nothing"


def _fits(kernel: kas.Kernel, targets: list[kas.Target]) -> bool:
    try:
        return bool(kas.solve(kernel, targets))
    except Infeasible:
        return False


def test_evolution_beats_blind_draws_on_a_simple_objective() -> None:
    means = []
    for blind in (0.0, 1.0):
        study = optuna.create_study(direction="maximize", sampler=kas.KernelSampler(TARGETS, BUDGET, seeds=(), blind=blind))
        study.optimize(lambda trial: objective(trial)[0], n_trials=60)
        means.append(sum(trial.value for trial in study.trials[40:]) / 20)
    assert means[0] > means[1] + 0.1


def test_enqueued_programs_become_parents_too() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=kas.KernelSampler(TARGETS, BUDGET, seeds=()))
    program = kas.zoo.get("ghost").to_json()
    study.enqueue_trial({}, user_attrs={"program": program})
    study.optimize(objective, n_trials=3)
    assert program_of(study.trials[0]) == kas.zoo.get("ghost")
    assert study.trials[0].params["k0.s00"] == "fc"
    assert "kas.KernelSampler:generation" in study.trials[0].system_attrs


def test_other_parameters_live_beside_the_kernel() -> None:
    def both(trial: optuna.Trial) -> float:
        kas.suggest_kernel(trial)
        return trial.suggest_float("lr", 1e-4, 1e-1, log=True)

    study = optuna.create_study(sampler=kas.KernelSampler())
    study.optimize(both, n_trials=5)
    assert len({trial.params["lr"] for trial in study.trials}) == 5


def test_a_study_keeps_the_ops_with_which_it_was_created() -> None:
    study = optuna.create_study(sampler=kas.KernelSampler(seeds=()))
    old = [op for op in OPS if op not in ("relu", "conv")]
    study.set_user_attr("kas.ops", old)
    for _ in range(12):
        trial = study.ask()
        kernel = kas.suggest_kernel(trial)
        study.tell(trial, 0.0)
        assert not {"relu", "conv"} & {step.op for step in kernel.steps}


LATER = ("windows", "products")
EARLIER = [one.op for family, ops in FAMILIES.items() if family not in LATER for one in ops if one.op != "filter"]


def test_a_study_of_an_earlier_version_goes_on_with_its_ops() -> None:
    """Its 30 ops: none of a later version is proposed, by whatever means, and no distribution changes."""
    sampler = kas.KernelSampler(TARGETS, BUDGET, seeds=["ghost"], population_size=8)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.set_user_attr("kas.ops", EARLIER)
    before = choices(tuple(EARLIER))
    study.optimize(objective, n_trials=30)
    assert len(EARLIER) == 30
    assert study.user_attrs["kas.ops"] == EARLIER
    for trial in study.trials:
        kernel = program_of(trial)
        assert kernel is not None
        assert {step.op for step in kernel.steps} <= set(EARLIER)
        assert all(trial.distributions[name] == before for name in trial.distributions)


def test_settings_that_require_a_later_op_are_refused_in_an_earlier_study() -> None:
    sampler = kas.KernelSampler(seeds=(), settings=GenerationSettings(required=["window"]))
    study = optuna.create_study(sampler=sampler)
    study.set_user_attr("kas.ops", EARLIER)
    with pytest.raises(kas.KasError, match="required names 'window', which is not allowed"):
        kas.suggest_kernel(study.ask())


def test_another_sampler_is_refused_with_the_fix() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    with pytest.raises(kas.KasError, match=r"needs a study with sampler=kas\.KernelSampler"):
        kas.suggest_kernel(study.ask())


def test_an_infeasible_kernel_prunes_the_trial() -> None:
    study = optuna.create_study(sampler=kas.KernelSampler(seeds=["conv3x3"]))
    with pytest.raises(optuna.TrialPruned, match="macs"):
        kas.suggest_kernel(study.ask(), TARGETS, BUDGET)
    assert study.trials[0].user_attrs["outcome"] == "infeasible"


def suggested(trials: int, **options: object) -> list[kas.Kernel]:
    """The kernels of a search in a grammar of few kernels."""
    settings = GenerationSettings(min_steps=1, max_steps=3, allowed=["conv", "neg", "relu"], kernel_sizes=[3], dilations=[1])
    sampler = kas.KernelSampler(settings=settings, population_size=4, seeds=(), **options)  # type: ignore[arg-type]
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: float(len(kas.suggest_kernel(trial).steps)), n_trials=trials)
    kernels = [program_of(trial) for trial in study.trials]
    return [kernel for kernel in kernels if kernel is not None]


@pytest.mark.parametrize("options", [{"mutation": 1.0, "blind": 0.0}, {"mutation": 0.0, "blind": 0.0}, {"blind": 1.0}], ids=str)
def test_nothing_of_a_forbidden_family_is_suggested(options: dict[str, float]) -> None:
    """What a search comes up with is not there if it is forbidden, however children are made."""
    before = suggested(30, **options)
    forbidden = [before[i] for i in (1, 5, 10, 15, 20, 25)]
    kernels = suggested(30, forbidden_families=forbidden, **options)
    assert len(kernels) == 30
    assert not {kernel.family for kernel in kernels} & {kernel.family for kernel in forbidden}


def test_forbidden_families_and_seeds() -> None:
    sampler = kas.KernelSampler(TARGETS, BUDGET, forbidden_families=["bottleneck"])
    assert kas.zoo.get("bottleneck") not in sampler.seeds
    assert kas.zoo.get("ghost") in sampler.seeds
    with pytest.raises(kas.KasError, match=r"the seed .* is of a forbidden family"):
        kas.KernelSampler(seeds=["repvgg"], forbidden_families=["conv3x3"])
    with pytest.raises(kas.KasError, match="did you mean 'conv3x3'"):
        kas.KernelSampler(forbidden_families=["conv3x33"])


def test_a_grammar_of_forbidden_families_alone_is_refused() -> None:
    settings = GenerationSettings(min_steps=1, max_steps=1, allowed=["conv"], kernel_sizes=[3], dilations=[1], local=1.0)
    rng = np.random.default_rng(0)
    every = [Sampler(settings=settings).draw(rng) for _ in range(300)]
    sampler = kas.KernelSampler(settings=settings, seeds=(), forbidden_families=every)
    with pytest.raises(kas.KasError, match="kernels in a row are of forbidden families"):
        kas.suggest_kernel(optuna.create_study(sampler=sampler).ask())
