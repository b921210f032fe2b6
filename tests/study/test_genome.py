"""The genome: programs as parameters and back, below 2^53."""

from __future__ import annotations

import optuna
import pytest

import kas
from kas.language import OPS
from kas.study.genome import decode, encode, fits_genome, search_space, suggest_program
from kas.study.packing import LIMIT, pack, unpack


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_sampled_programs_come_back_as_they_were(rank: int) -> None:
    for kernel in kas.sample(150, rank=rank, seed=9):
        params = encode(kernel, list(OPS))
        assert params is not None
        assert decode(params, rank).to_json() == kernel.to_json()
        assert all(value < LIMIT and int(float(value)) == value for key, value in params.items() if key.endswith("arg"))


@pytest.mark.parametrize("name", kas.zoo.names())
def test_known_kernels_fit_a_genome(name: str) -> None:
    kernel = kas.zoo.get(name)
    params = encode(kernel, list(OPS))
    assert params is not None
    assert decode(params, kernel.rank) == kernel


def test_each_step_has_two_parameters_and_the_program_ends_with_end() -> None:
    params = encode(kas.zoo.get("bottleneck"), list(OPS))
    assert params is not None
    assert list(params) == [f"k0.s0{i}.{part}" for i in range(5) for part in ("op", "arg")] + ["k0.s05.op"]
    assert params["k0.s05.op"] == "end"


def test_every_attribute_of_a_step_is_packed() -> None:
    for kernel in kas.sample(100, seed=2):
        for step in kernel.steps:
            packed = pack(step)
            assert packed is not None
            assert unpack(step.op, packed) == step.to_dict()


_DIMS = [
    *(
        f"{number}{sign}{dim}"
        for number in (10, 14, 15, 18, 20, 24, 36, 63)
        for sign, dim in (("*", "C"), ("*", "x3"), ("", ""))
    ),
    *("C/5", "x0/7", "2*C/7", "x1/6", "C/9", "4*x2/9", "x0/25", "x0/49", "C/32", "28*x15", "35*C", "21*x0"),
    *("C*x0/7", "10*C*H*W", "14*C/G", "C*H/5", "5*G", "11", "13", "256"),
]


@pytest.mark.parametrize("dim", _DIMS)
def test_uncommon_fractions_are_packed(dim: str) -> None:
    kernel = [{"op": "fc", "ins": [0], "to": dim}, {"op": "fc", "ins": [1], "to": "C"}]
    step = kas.Kernel.from_dict({"format": "kas.kernel/1", "rank": 2, "steps": kernel}).steps[0]
    packed = pack(step)
    assert packed is not None
    assert unpack("fc", packed) == step.to_dict()


@pytest.mark.parametrize(
    ("packed", "to"),
    [
        *((104448, "C"), (107520, "C/4"), (984192, "3*x2/2"), (6144, "C/G"), (178688, "9*C*H*W")),
        *((960, "256"), (320, "18")),
    ],
)
def test_programs_of_older_studies_are_read_as_they_were_written(packed: int, to: str) -> None:
    assert unpack("fc", packed) == {"op": "fc", "ins": [0], "to": to}


def test_a_program_with_rare_numbers_does_not_fit_and_travels_as_an_attribute() -> None:
    steps = [{"op": "fc", "ins": [0], "to": "1234567"}, {"op": "fc", "ins": [1], "to": "C"}]
    kernel = kas.Kernel.from_dict({"format": "kas.kernel/1", "rank": 2, "steps": steps})
    assert not fits_genome(kernel)
    study = optuna.create_study(sampler=kas.KernelSampler(seeds=[kernel]))
    trial = study.ask()
    assert kas.suggest_kernel(trial) == kernel


def test_the_distributions_never_change() -> None:
    ops = tuple(OPS)
    study = optuna.create_study(sampler=kas.KernelSampler())
    for _ in range(8):
        trial = study.ask()
        kas.suggest_kernel(trial)
        study.tell(trial, 1.0)
    used = [trial.distributions for trial in study.trials]
    assert all(used)
    search_space.cache_clear()
    assert all(one[name] == search_space(ops)[name] for one in used for name in one)


def test_parameters_that_are_no_program_are_refused() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with pytest.raises(kas.InvalidKernel):
        suggest_program(study.ask(), list(OPS), 2)
