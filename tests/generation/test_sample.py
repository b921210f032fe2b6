"""Sampling: legal, distinct, within the budget, the same for a seed, and as the settings say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from statistics import median
from typing import Any

import pytest

import kas
from kas.generation import GenerationSettings, Sampler
from kas.generation.moves import is_local
from kas.generation.sample import sample
from kas.language import OPS

STAGES = [(64, 56), (128, 28), (256, 14), (512, 7)]
RESNET18 = [kas.Target(f"layer{i}.{j}", c, c, (s, s)) for i, (c, s) in enumerate(STAGES) for j in range(4 if i == 0 else 3)] + [
    kas.Target(f"layer{i}.down", c // 2, c, (s, s), stride=2) for i, (c, s) in enumerate(STAGES) if i
]
BUDGET = {"macs": 0.5, "params": 0.5}


def joins(kernel: kas.Kernel) -> int:
    return sum(step.arity == 2 for step in kernel.steps)


@pytest.fixture(scope="module")
def for_resnet18() -> list[kas.Kernel]:
    return kas.sample(200, targets=RESNET18, budget=BUDGET)


def test_two_hundred_kernels_for_resnet18_use_the_budget_and_never_exceed_it(for_resnet18: list[kas.Kernel]) -> None:
    uses = []
    for kernel in for_resnet18:
        sizes = kas.solve(kernel, RESNET18, BUDGET)
        uses.append(max(sizes.use.values()))
        assert sizes.macs <= 0.5 * sum(t.macs for t in RESNET18)
        assert sizes.params <= 0.5 * sum(t.params for t in RESNET18)
    assert median(uses) >= 0.8


def test_every_op_comes_up() -> None:
    """1,200 kernels: an op that is in 0.5 % of them is missed once in 400 draws."""
    assert {step.op for kernel in kas.sample(1200) for step in kernel.steps} == set(OPS)


def test_two_hundred_kernels_have_chains_and_joins(for_resnet18: list[kas.Kernel]) -> None:
    assert 40 <= sum(joins(kernel) > 0 for kernel in for_resnet18) <= 180
    assert len({kernel.hash for kernel in for_resnet18}) == 200
    assert len({len(kernel.steps) for kernel in for_resnet18}) >= 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 3}, "rank must be 2, 1 or 0, not 3"),
        ({"rank": "2"}, "rank must be 2, 1 or 0, not '2'"),
        ({"budget": {"mac": 0.5}}, "budget.mac is an unknown key; did you mean macs?"),
    ],
)
def test_what_is_no_rank_or_budget_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(kas.KasError, match=f"^{re.escape(message)}$"):
        kas.sample(1, **arguments)


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_kernels_of_every_rank_are_legal_and_distinct(rank: int) -> None:
    kernels = kas.sample(100, rank=rank)
    assert {kernel.rank for kernel in kernels} == {rank}
    assert len({kernel.hash for kernel in kernels}) == 100
    for kernel in kernels:
        again = kas.Kernel.from_json(kernel.to_json())
        assert again == kernel
        assert again.hash == kernel.hash


def test_the_first_kernels_of_a_longer_draw_are_the_shorter_draw() -> None:
    assert kas.sample(30, seed=4)[:12] == kas.sample(12, seed=4)
    assert kas.sample(12, seed=4) != kas.sample(12, seed=5)


def test_a_seed_gives_the_same_kernels_in_another_process() -> None:
    code = "import kas; print('\\n'.join(k.to_json() for k in kas.sample(25, seed=3)))"
    runs = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True)
        for seed in ("0", "1")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.splitlines() == [kernel.to_json() for kernel in kas.sample(25, seed=3)]


def test_settings_are_honoured() -> None:
    settings = GenerationSettings(
        min_steps=4,
        max_steps=6,
        forbidden=["matmul", "mix", "exp"],
        required=["normalize"],
        kernel_sizes=[5],
        dilations=[1],
        local=1.0,
    )
    for kernel in sample(60, settings=settings):
        ops = [step.op for step in kernel.steps]
        assert len(ops) <= 6
        assert not {"matmul", "mix", "exp"} & set(ops)
        assert "normalize" in ops
        assert any(is_local(step) for step in kernel.steps)
        assert not kernel.fixed_size
        for step in kernel.steps:
            if step.op == "unfold":
                assert (step.k, step.d) == (5, 1)  # type: ignore[attr-defined]


def test_fixed_size_kernels_come_only_when_asked_for() -> None:
    assert not any(kernel.fixed_size for kernel in kas.sample(150))
    assert any(kernel.fixed_size for kernel in sample(150, settings=GenerationSettings(fixed_size=True)))


def test_taps_beyond_every_position_of_a_target_are_not_drawn() -> None:
    tiny = [kas.Target("a", 32, 32, (4, 4)), kas.Target("b", 32, 32, (2, 2))]
    for kernel in kas.sample(80, targets=tiny):
        for step in kernel.steps:
            if step.op == "conv":
                lengths = [dim.value({"H": 2, "W": 2}) for dim in kernel.shapes[step.ins[0]].second.dims]
                taps = zip(step.k, step.d, lengths, strict=True)  # type: ignore[attr-defined]
                assert all(d * (k - 1) // 2 < length for k, d, length in taps)


def test_a_budget_that_nothing_satisfies_is_an_error_not_an_endless_search() -> None:
    with pytest.raises(kas.KasError, match=r"no kernel was found in 200 attempts .*memory"):
        kas.sample(1, targets=[kas.Target("a", 64, 64, (8, 8))], budget={"memory": {"max": 9, "absolute": True}})


def test_targets_of_another_rank_are_refused() -> None:
    with pytest.raises(kas.KasError, match="'a' is of rank 1, but kernels of rank 2 are wanted"):
        Sampler(2, [kas.Target("a", 64, 64, (8,), kernel_size=(3,))])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_steps": 9, "max_steps": 3}, "1 <= min_steps <= max_steps"),
        ({"families": {"linaer": 1.0}}, "did you mean 'linear'"),
        ({"forbidden": ["convv"]}, "did you mean 'conv'"),
        ({"forbidden": ["fc"], "required": ["fc"]}, "required names 'fc', which is not allowed"),
        ({"kernel_sizes": [4]}, "kernel_sizes must be odd"),
        ({"local": 1.5}, "local is a share between 0 and 1"),
    ],
)
def test_wrong_settings_say_what_would_be_right(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(kas.KasError, match=message):
        GenerationSettings(**wrong)  # type: ignore[arg-type]
