"""Children of legal programs are legal, whatever is mutated, spliced or repaired; files and hashes keep them as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kas
from kas.generation import GenerationSettings, Sampler, crossover, mutate, sample
from kas.generation.mutate import MUTATIONS
from kas.generation.repair import repair
from kas.language import cost

TARGETS = {
    2: [kas.Target("a", 48, 48, (16, 12)), kas.Target("b", 48, 96, (8, 6), stride=2), kas.Target("c", 96, 96, (4, 4))],
    1: [kas.Target("a", 64, 64, (32,), kernel_size=(3,)), kas.Target("b", 128, 64, (9,), kernel_size=(3,))],
    0: [kas.Target("a", 64, 64, (), kernel_size=()), kas.Target("b", 64, 256, (), kernel_size=())],
}
BUDGET = {"macs": 0.7, "params": 0.7}
STRICT = GenerationSettings(max_steps=9, forbidden=["mix", "exp", "div"], kernel_sizes=[3], dilations=[1], shifts=[1])
ranks = st.sampled_from([2, 1, 0])
seeds = st.integers(0, 10**9)


@lru_cache
def sampler(rank: int, limited: bool, strict: bool = False) -> Sampler:
    """A sampler for targets and a budget, or without any."""
    chosen = STRICT if strict else None
    return Sampler(rank, TARGETS[rank], BUDGET, chosen) if limited else Sampler(rank, settings=chosen)


@lru_cache
def pool(rank: int) -> list[kas.Kernel]:
    """Sampled kernels of a rank, and the known ones."""
    return [*kas.sample(60, rank=rank, seed=11), *(kas.zoo.get(name) for name in kas.zoo.names(rank))]


def assert_legal(kernel: kas.Kernel, rank: int) -> None:
    """Reading its file checks every rule of the language again."""
    assert kernel.rank == rank
    again = kas.Kernel.from_json(kernel.to_json())
    assert again == kernel
    assert again.hash == kernel.hash
    assert again.family == kernel.family


def assert_within_budget(kernel: kas.Kernel, rank: int) -> None:
    """Solved, and costed again with kas.cost."""
    sizes, macs, params = kas.solve(kernel, TARGETS[rank], BUDGET), 0, 0
    for target in TARGETS[rank]:
        one = cost(kernel, target.channels, target.size, sizes.groups, sizes.values[target.name])
        macs += target.adapter.templates * one.macs + target.adapter.macs
        params += target.adapter.templates * one.params + target.adapter.params
    assert (macs, params) == (sizes.macs, sizes.params)
    assert macs <= BUDGET["macs"] * sum(target.macs for target in TARGETS[rank])
    assert params <= BUDGET["params"] * sum(target.params for target in TARGETS[rank])


@settings(deadline=None, max_examples=60)
@given(seeds, ranks, st.booleans())
def test_a_line_of_mutations_stays_legal(seed: int, rank: int, limited: bool) -> None:
    chosen, rng = sampler(rank, limited), np.random.default_rng(seed)
    kernel = sample(1, rank, seed=seed % 1000)[0]
    for _ in range(4):
        child = mutate(kernel, chosen, rng)
        assert_legal(child, rank)
        assert child.hash != kernel.hash
        kernel = child
    if limited:
        assert_within_budget(kernel, rank)


@settings(deadline=None, max_examples=60)
@given(seeds, ranks, st.booleans(), st.data())
def test_a_crossover_of_any_two_is_legal(seed: int, rank: int, limited: bool, data: st.DataObject) -> None:
    chosen, rng = sampler(rank, limited), np.random.default_rng(seed)
    one, other = (data.draw(st.sampled_from(pool(rank))) for _ in range(2))
    child = crossover(one, other, chosen, rng)
    assert_legal(child, rank)
    if limited:
        assert_within_budget(child, rank)


@settings(deadline=None, max_examples=40)
@given(seeds, ranks, st.data())
def test_children_keep_what_the_settings_forbid(seed: int, rank: int, data: st.DataObject) -> None:
    chosen, rng = sampler(rank, True, strict=True), np.random.default_rng(seed)
    one, other = (data.draw(st.sampled_from(pool(rank))) for _ in range(2))
    for child in (mutate(one, chosen, rng), crossover(one, other, chosen, rng)):
        assert len(child.steps) <= STRICT.max_steps
        assert not set(STRICT.forbidden) & {step.op for step in child.steps}
        assert not child.fixed_size


def raw_steps(kernels: Sequence[kas.Kernel], rng: np.random.Generator) -> list[tuple[kas.language.Step, tuple[int, ...]]]:
    """Steps of several kernels in any order, each reading any earlier ones: hardly ever a legal program."""
    steps = [step for kernel in kernels for step in kernel.steps]
    chosen = [steps[int(i)] for i in rng.integers(len(steps), size=int(rng.integers(1, 10)))]
    return [(step, tuple(int(i) for i in rng.integers(n, size=step.arity))) for n, step in enumerate(chosen, 1)]


@settings(deadline=None, max_examples=150)
@given(seeds, ranks)
def test_whatever_is_repaired_is_legal(seed: int, rank: int) -> None:
    chosen, rng = sampler(rank, limited=False), np.random.default_rng(seed)
    kernels = [pool(rank)[int(i)] for i in rng.integers(len(pool(rank)), size=3)]
    repaired = repair(chosen.moves, raw_steps(kernels, rng), rng)
    if repaired is not None:
        assert_legal(repaired, rank)
        assert len(repaired.steps) <= chosen.settings.max_steps


def test_most_of_what_is_broken_can_be_repaired() -> None:
    chosen, rng = sampler(2, limited=False), np.random.default_rng(0)
    found = [repair(chosen.moves, raw_steps(pool(2)[:20], rng), rng) for _ in range(200)]
    assert sum(kernel is not None for kernel in found) >= 100
    assert len({kernel.hash for kernel in found if kernel is not None}) >= 90


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_repair_keeps_a_legal_program_but_for_void_steps(rank: int) -> None:
    chosen, rng, kept = sampler(rank, limited=False), np.random.default_rng(3), 0
    for kernel in kas.sample(60, rank=rank, seed=5):
        repaired = repair(chosen.moves, [(step, step.ins) for step in kernel.steps], rng)
        assert repaired is not None
        kept += repaired.hash == kernel.hash
        assert repaired.hash == kernel.hash or len(repaired.steps) < len(kernel.steps)
    assert kept >= 50


@settings(deadline=None, max_examples=60)
@given(seeds, ranks, st.sampled_from(sorted(MUTATIONS)))
def test_every_kind_of_edit_leads_to_legal_programs(seed: int, rank: int, edit: str) -> None:
    chosen, rng = sampler(rank, limited=True), np.random.default_rng(seed)
    kernel = pool(rank)[int(rng.integers(len(pool(rank))))]
    raw = MUTATIONS[edit](kernel, chosen, rng)
    child = repair(chosen.moves, raw, rng) if raw is not None else None
    if child is not None:
        assert_legal(child, rank)


@settings(deadline=None, max_examples=100)
@given(ranks, st.data(), st.randoms(use_true_random=False))
def test_files_are_read_as_they_were_written(rank: int, data: st.DataObject, random) -> None:
    kernel = data.draw(st.sampled_from(pool(rank)))
    text = kernel.to_json()
    assert " " not in text
    assert kas.Kernel.from_json(text).to_json() == text
    assert kas.Kernel.from_json(kernel.to_dict()) == kernel
    steps = []
    for step in kernel.to_dict()["steps"]:
        keys = list(step)
        random.shuffle(keys)
        steps.append({key: step[key] for key in keys})
    shuffled = json.dumps({"steps": steps, "rank": rank, "format": "kas.kernel/1"}, indent=random.choice([None, 1, 4]))
    again = kas.Kernel.from_json(shuffled)
    assert again.to_json() == text
    assert (again.hash, again.family) == (kernel.hash, kernel.family)
