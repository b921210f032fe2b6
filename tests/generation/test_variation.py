"""Mutation and crossover: always legal, always within the budget, and really varied."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kas
from kas.generation import GenerationSettings, Sampler, crossover, mutate
from kas.generation.mutate import MUTATIONS
from kas.generation.repair import repair
from kas.language.primitives.reductions import Normalize

TARGETS = {
    2: [kas.Target("a", 64, 64, (16, 16)), kas.Target("b", 64, 128, (8, 8), stride=2)],
    1: [kas.Target("a", 64, 64, (32,), kernel_size=(3,))],
    0: [kas.Target("a", 64, 64, (), kernel_size=())],
}
BUDGET = {"macs": 0.6}
SAMPLERS = {rank: Sampler(rank, targets, BUDGET) for rank, targets in TARGETS.items()}


def check(kernel: kas.Kernel, rank: int) -> None:
    assert kas.Kernel.from_json(kernel.to_json()) == kernel
    assert kernel.rank == rank
    assert kas.solve(kernel, TARGETS[rank], BUDGET).use["macs"] <= 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rank=st.sampled_from([2, 1, 0]))
def test_children_of_sampled_kernels_are_legal_and_within_the_budget(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    sampler = SAMPLERS[rank]
    one, other = sampler.draw(rng), sampler.draw(rng)
    for child in (mutate(one, sampler, rng), crossover(one, other, sampler, rng)):
        check(child, rank)
        assert child.hash != one.hash


@pytest.mark.parametrize(
    "budget",
    [{"memory": 3.0}, {"macs": {"each": 1.2e6, "absolute": True}}, {"macs": {"max": 0.6, "min": 0.5}}],
    ids=str,
)
def test_children_keep_to_every_kind_of_limit(budget: dict[str, Any]) -> None:
    rng, sampler = np.random.default_rng(0), Sampler(2, TARGETS[2], budget)
    kernels = [sampler.draw(rng) for _ in range(16)]
    for one, other in pairwise(kernels):
        for child in (mutate(one, sampler, rng), crossover(one, other, sampler, rng)):
            kas.solve(child, TARGETS[2], budget)  # raises Infeasible


@pytest.mark.parametrize("name", kas.zoo.names())
def test_children_of_known_kernels_are_legal(name: str) -> None:
    kernel = kas.zoo.get(name)
    rng = np.random.default_rng(0)
    sampler = SAMPLERS[kernel.rank]
    for _ in range(5):
        check(mutate(kernel, sampler, rng), kernel.rank)
        check(crossover(kernel, sampler.draw(rng), sampler, rng), kernel.rank)


@pytest.mark.parametrize("edit", MUTATIONS)
def test_every_kind_of_mutation_finds_an_edit(edit: str) -> None:
    sampler, rng = Sampler(2), np.random.default_rng(1)
    kernel = kas.zoo.get("inverted_residual")
    made = set()
    for _ in range(60):
        raw = MUTATIONS[edit](kernel, sampler, rng)
        child = repair(sampler.moves, raw, rng) if raw is not None else None
        if child is not None and child.hash != kernel.hash:
            made.add(child.hash)
    assert len(made) >= 5


def test_a_child_of_a_crossover_has_steps_of_both_parents() -> None:
    sampler = Sampler(2, settings=GenerationSettings(max_steps=12))
    left, right = kas.zoo.get("squeeze_excitation"), kas.zoo.get("convnext")
    rng = np.random.default_rng(0)
    children = [crossover(left, right, sampler, rng) for _ in range(20)]
    ops = [{step.op for step in child.steps} for child in children]
    assert any("gelu" in one and ("sigmoid" in one or "fold" in one) for one in ops)


def test_variation_is_the_same_for_a_seed() -> None:
    kernel = kas.zoo.get("bottleneck")
    first, second = (mutate(kernel, SAMPLERS[2], np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_children_keep_the_settings() -> None:
    chosen = GenerationSettings(max_steps=7, forbidden=["add", "mul", "matmul"])
    sampler, rng = Sampler(2, settings=chosen), np.random.default_rng(2)
    kernel = sampler.draw(rng)
    for _ in range(30):
        kernel = mutate(kernel, sampler, rng)
        assert len(kernel.steps) <= 7
        assert not {"add", "mul", "matmul"} & {step.op for step in kernel.steps}


def test_a_step_whose_axis_is_gone_is_repaired() -> None:
    attention = kas.zoo.get("self_attention").steps
    normalize = Normalize(ins=(4,), axes=("0.c",), how="standard")  # over channels, of scores between positions
    raw = [(step, step.ins) for step in (*attention[:4], normalize, *attention[4:])]
    for seed in range(20):
        repaired = repair(SAMPLERS[2].moves, raw, np.random.default_rng(seed))
        if repaired is not None:
            assert kas.Kernel.from_json(repaired.to_json()) == repaired
