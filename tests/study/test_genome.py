"""The genome: the program as an attribute, the ops of its steps as parameters for people."""

from __future__ import annotations

import optuna
import pytest

import kas
from kas.language import OPS
from kas.study.genome import choices, fixed_ops, keeps, kernel_names, parameters, program_of


def test_each_step_is_one_parameter_and_the_last_is_end() -> None:
    kernel = kas.zoo.get("bottleneck")
    assert list(parameters(kernel)) == [f"k0.s0{number}" for number in range(6)]
    assert list(parameters(kernel, "head").items())[-1] == ("head.s05", "end")


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_the_program_of_a_trial_is_the_kernel(rank: int) -> None:
    study = optuna.create_study(sampler=kas.KernelSampler(rank=rank))
    for _ in range(12):
        kernel = kas.suggest_kernel(trial := study.ask())
        study.tell(trial, 1.0)
        stored = study.trials[-1]
        assert stored.params == parameters(kernel)
        assert program_of(stored) == kernel
        assert kernel_names(stored) == ["k0"]


def test_a_program_may_have_any_numbers_and_more_steps_than_are_sampled() -> None:
    steps = [{"op": "fc", "ins": [0], "to": "1234567"}, *({"op": "neg", "ins": [1 + i]} for i in range(40))]
    kernel = kas.Kernel.from_dict(
        {"format": "kas.kernel/1", "rank": 2, "steps": [*steps, {"op": "fc", "ins": [41], "to": "C"}]}
    )
    study = optuna.create_study(sampler=kas.KernelSampler(seeds=[kernel]))
    assert kas.suggest_kernel(study.ask()) == kernel
    assert study.trials[0].params["k0.s42"] == "end"


def test_the_distributions_never_change() -> None:
    study = optuna.create_study(sampler=kas.KernelSampler())
    for _ in range(8):
        trial = study.ask()
        kas.suggest_kernel(trial)
        study.tell(trial, 1.0)
    used = [distribution for trial in study.trials for distribution in trial.distributions.values()]
    assert used
    choices.cache_clear()
    assert all(one == choices(tuple(OPS)) for one in used)


def test_what_parameters_say_about_a_kernel() -> None:
    fixed = {"k0.s00": "conv", "k0.s01": "end", "k1.s00": "fc", "lr": 0.1, "k0.s00.op": "fc", "k0.s00.arg": 7}
    assert fixed_ops(fixed) == {0: "conv", 1: "end"}
    kernel = kas.zoo.get("conv3x3")
    assert keeps(kernel, fixed_ops(fixed))
    assert not keeps(kernel, {0: "fc"})
    assert not keeps(kernel, {2: "end"})


def test_a_program_that_is_none_is_no_kernel() -> None:
    for text in ("", "{}", "7", '{"format": "kas.kernel/1", "rank": 2, "steps": [{"op": "fc", "ins": [0], "to": "7"}]}'):
        assert program_of(optuna.trial.create_trial(value=1.0, user_attrs={"program": text})) is None
