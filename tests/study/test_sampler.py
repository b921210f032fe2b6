"""The sampler: known kernels first, then children of the best, in anybody's study."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

import kas
from kas.generation import GenerationSettings, Sampler
from kas.language import FAMILIES, OPS, Infeasible
from kas.reporting.pareto import non_dominated_sort
from kas.study import breeding
from kas.study.genome import choices, parameters, program_of

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


def test_a_trial_says_which_trials_its_kernel_descends_from() -> None:
    study = run(40, seeds=["bottleneck", "ghost", "grouped3x3"], blind=0.2)
    parents = [trial.user_attrs["parents"] for trial in study.trials]
    assert parents[:3] == [[], [], []], "known kernels descend from none"
    assert {len(numbers) for numbers in parents[3:]} == {0, 1, 2}, "blind samples, mutations, crossovers"
    assert all(number < trial.number for trial in study.trials for number in trial.user_attrs["parents"])


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


# In anybody's study: several kernels, other parameters, fixed ones, infinite values.


def several(trial: optuna.Trial) -> float:
    first = kas.suggest_kernel(trial, TARGETS, BUDGET)
    head = kas.suggest_kernel(trial, rank=0, name="head")
    assert kas.suggest_kernel(trial, TARGETS, BUDGET) == first
    assert kas.suggest_kernel(trial, rank=0, name="head") == head
    return float(len(first.steps) + len(head.steps))


def test_several_kernels_of_a_trial_have_their_own_targets_programs_and_parameters() -> None:
    study = optuna.create_study(sampler=kas.KernelSampler(TARGETS, BUDGET, population_size=6))
    study.optimize(several, n_trials=30)
    for trial in study.trials:
        for name, rank in (("k0", 2), ("head", 0)):
            kernel = program_of(trial, name)
            assert kernel is not None
            assert kernel.rank == rank
            assert trial.user_attrs["hash" if name == "k0" else f"hash:{name}"] == kernel.hash
            assert parameters(kernel, name).items() <= trial.params.items()
    later = study.trials[15:]
    assert min(len({trial.user_attrs[key] for trial in later}) for key in ("hash", "hash:head")) > 3
    pairs = {(trial.user_attrs["hash"], trial.user_attrs["hash:head"]) for trial in study.trials}
    assert len(pairs) == 30
    assert sum(trial.value for trial in later) < sum(trial.value for trial in study.trials[:15])  # both are bred


def test_a_kernel_of_one_name_has_one_rank_and_a_name_is_a_word() -> None:
    trial = optuna.create_study(sampler=kas.KernelSampler()).ask()
    kas.suggest_kernel(trial)
    with pytest.raises(kas.KasError, match="has a kernel k0 of rank 2, and one of rank 0 is wanted: give it another name"):
        kas.suggest_kernel(trial, rank=0)
    for name in ("", "a.b", "k 1", "1k", "k1\n"):
        with pytest.raises(kas.KasError, match="a kernel's name is of letters, digits and _"):
            kas.suggest_kernel(trial, name=name)


def test_another_parameter_is_inherited_from_the_parents() -> None:
    def both(trial: optuna.Trial) -> float:
        kas.suggest_kernel(trial)
        return abs(np.log10(trial.suggest_float("lr", 1e-6, 1.0, log=True) / 1e-3))

    study = optuna.create_study(sampler=kas.KernelSampler(seeds=(), population_size=6))
    study.optimize(both, n_trials=45)
    off = [trial.value for trial in study.trials]
    assert np.mean(off[30:]) < 0.6 * np.mean(off[:15])


def test_what_is_infinite_leads_no_front_and_is_no_parent() -> None:
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=kas.KernelSampler(TARGETS, BUDGET, population_size=6)
    )
    for number in range(12):
        kas.suggest_kernel(trial := study.ask(), TARGETS, BUDGET)
        study.tell(trial, (np.inf, 1.0) if number % 3 == 0 else (0.5, -np.inf) if number % 3 == 1 else (number / 12, 1.0))
    sampler = study.sampler
    assert isinstance(sampler, kas.KernelSampler)
    kas.suggest_kernel(trial := study.ask(), TARGETS, BUDGET)
    parents = [parent.number for parent, _ in sampler.parents(study, study.trials[-1])]
    assert parents
    assert all(number % 3 == 2 for number in parents)


def test_parameters_of_a_trial_that_are_enqueued_again_are_its_kernel() -> None:
    study = optuna.create_study(sampler=kas.KernelSampler(TARGETS, BUDGET, seeds=()))
    study.optimize(lambda trial: float(len(kas.suggest_kernel(trial, TARGETS, BUDGET).steps)), n_trials=3)
    study.enqueue_trial(study.trials[1].params)
    kernel = kas.suggest_kernel(study.ask(), TARGETS, BUDGET)
    assert kernel == program_of(study.trials[1])


@pytest.mark.parametrize(
    "fixed",
    [
        {"k0.s00": "conv"},
        {"k0.s01": "relu", "k0.s04": "end"},
        {"k0.s00": "unfold", "k0.s02": "gelu"},
        {"k0.s03": "matmul"},
        {"k0.s00": "fc", "k0.s01": "sin", "k0.s02": "fc", "k0.s03": "end", "lr": 0.5},
    ],
    ids=str,
)
def test_a_partly_fixed_genome_is_completed(fixed: dict[str, object]) -> None:
    def suggest(trial: optuna.Trial) -> None:
        kernel = kas.suggest_kernel(trial, TARGETS, BUDGET)
        assert kas.solve(kernel, TARGETS, BUDGET)
        assert {"lr": trial.suggest_float("lr", 0, 1), **trial.params}.items() >= fixed.items()
        assert parameters(kernel).items() <= trial.params.items()

    study = optuna.create_study(sampler=kas.KernelSampler(TARGETS, BUDGET))
    study.enqueue_trial(fixed)
    suggest(study.ask())
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.sampler = optuna.samplers.PartialFixedSampler(fixed, study.sampler)
    suggest(study.ask())


def test_fixed_parameters_that_no_kernel_has_are_refused() -> None:
    study = optuna.create_study(sampler=kas.KernelSampler(TARGETS, BUDGET))
    study.enqueue_trial({"k0.s00": "relu", "k0.s01": "end"})
    with pytest.raises(
        kas.KasError, match=r"trial 0 is to have k0\.s00=relu, k0\.s01=end, which no legal kernel was found that"
    ):
        kas.suggest_kernel(study.ask(), TARGETS, BUDGET)
    study.enqueue_trial({"k0.s00": "conv"}, user_attrs={"program": kas.zoo.get("ghost").to_json()})
    with pytest.raises(kas.KasError, match=r"trial 1 is to have k0\.s00=conv, which its program has not"):
        kas.suggest_kernel(study.ask(), TARGETS, BUDGET)


def test_a_study_of_packed_parameters_goes_on() -> None:
    """Earlier versions kept a step in two parameters, `k0.s07.op` and `k0.s07.arg`; programs were attributes then too."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=kas.KernelSampler(TARGETS, BUDGET, seeds=()))
    step = {"k0.s00.op": CategoricalDistribution([*EARLIER, "end"]), "k0.s00.arg": IntDistribution(0, 2**53 - 1)}
    old = [drawn.kernel for drawn in Sampler(2, TARGETS, BUDGET).stream(7, most=14)]
    for number, kernel in enumerate(old):
        attributes = {"program": kernel.to_json(), "hash": kernel.hash, "family": kernel.family, "outcome": "ok"}
        params = {"k0.s00.op": "fc", "k0.s00.arg": 104448}
        study.add_trial(
            optuna.trial.create_trial(
                values=[number / 14, 0.5], params=params, distributions=step, user_attrs=attributes,
                system_attrs={"kas.KernelSampler:generation": 0},
            )
        )  # fmt: skip
    study.set_user_attr("kas.ops", EARLIER)
    study.optimize(objective, n_trials=4)
    assert not {trial.user_attrs["hash"] for trial in study.trials[14:]} & {kernel.hash for kernel in old}
    assert study.trials[14].system_attrs["kas.KernelSampler:generation"] == 1
    assert len(study.sampler.parents(study, study.trials[14])) == 12  # type: ignore[attr-defined]
    assert "k0.s00" in study.trials[14].params
