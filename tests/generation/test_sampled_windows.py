"""Sampling of windows and products: they occur where they can, keep to the settings."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import kas
from kas.generation import GenerationSettings, Sampler, mutate
from kas.generation.sample import sample
from kas.language import FAMILIES

WINDOWS = {one.op for one in FAMILIES["windows"]}
PRODUCTS = {one.op for one in FAMILIES["products"]}
OFTEN = GenerationSettings(families={"windows": 12.0, "products": 8.0}, max_steps=12)
TARGETS = [kas.Target("a", 32, 32, (28, 28)), kas.Target("b", 64, 64, (14, 14))]


def ops(kernels: list[kas.Kernel]) -> Counter[str]:
    return Counter(step.op for kernel in kernels for step in kernel.steps)


@pytest.mark.parametrize(("rank", "there"), [(2, WINDOWS | PRODUCTS), (1, WINDOWS | PRODUCTS), (0, set())])
def test_every_op_occurs_at_the_ranks_that_have_it(rank: int, there: set[str]) -> None:
    """At rank 0 a batched product is legal, and too rare among what ends in a kernel to be drawn."""
    seen = ops(sample(200, rank=rank, settings=OFTEN, seed=1))
    assert set(seen) & (WINDOWS | PRODUCTS) >= there
    assert rank or not set(seen) & (WINDOWS | {"reassemble"})


def test_families_of_weight_zero_never_occur() -> None:
    settings = GenerationSettings(families={"windows": 0.0, "products": 0.0})
    assert not set(ops(sample(150, settings=settings))) & (WINDOWS | PRODUCTS)


@pytest.mark.parametrize("op", sorted(WINDOWS | PRODUCTS))
def test_what_is_forbidden_never_occurs_and_what_is_required_always_does(op: str) -> None:
    settings = {"families": {"windows": 12.0, "products": 8.0}}
    without = sample(40, settings=GenerationSettings(forbidden=[op], **settings), seed=2)
    assert op not in ops(without)
    for kernel in sample(10, settings=GenerationSettings(required=[op], max_steps=14, **settings), seed=3):
        assert op in {step.op for step in kernel.steps}


def test_samples_exist_at_their_targets_within_the_budget() -> None:
    for kernel in sample(100, targets=TARGETS, budget={"macs": 0.5}, settings=OFTEN, seed=4):
        sizes = kas.solve(kernel, TARGETS, {"macs": 0.5})
        assert sizes.use["macs"] <= 1


def test_children_of_windows_and_products_are_legal() -> None:
    sampler = Sampler(2, TARGETS, {"macs": 0.5}, OFTEN)
    rng = np.random.default_rng(5)
    for _ in range(60):
        kernel = sampler.draw(rng)
        child = mutate(kernel, sampler, rng)
        assert kas.Kernel.from_json(child.to_json()) == child
        assert child.hash != kernel.hash
