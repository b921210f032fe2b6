"""The genome of a trial: a program as Optuna parameters.

Two parameters a step, `k0.s07.op` (template 0, step 7) and `k0.s07.arg`. The op is a categorical over the ops of the study
and `end`, which ends the program; the arg packs the operands and the attributes into one integer below 2^53, which
storages keep exactly as a double. A program that does not fit (more steps, rare numbers) is stored in the user attribute
`program` as canonical JSON; every reader prefers that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial

from kas.generation import GENOME_STEPS
from kas.language import OPS, InvalidKernel, Kernel
from kas.language.kernel import FORMAT
from kas.study.attributes import PROGRAM
from kas.study.packing import pack, unpack

__all__ = ["END", "decode", "encode", "fits_genome", "program_of", "search_space", "suggest_program"]

END = "end"
_ARG_MAX = 2**53 - 1


def _names(step: int) -> tuple[str, str]:
    return f"k0.s{step:02d}.op", f"k0.s{step:02d}.arg"


@lru_cache(maxsize=8)
def search_space(ops: tuple[str, ...]) -> dict[str, BaseDistribution]:
    """The parameters of the longest program and their distributions, which never change within a study."""
    space: dict[str, BaseDistribution] = {}
    for step in range(GENOME_STEPS):
        op, arg = _names(step)
        space[op] = CategoricalDistribution([*ops, END])
        space[arg] = IntDistribution(0, _ARG_MAX)
    op, _ = _names(GENOME_STEPS)
    space[op] = CategoricalDistribution([*ops, END])
    return space


def encode(kernel: Kernel, ops: Sequence[str]) -> dict[str, Any] | None:
    """The parameters of a kernel's program, None if it does not fit a genome of these ops."""
    if len(kernel.steps) > GENOME_STEPS:
        return None
    params: dict[str, Any] = {}
    for number, step in enumerate(kernel.steps):
        packed = pack(step)
        if packed is None or step.op not in ops:
            return None
        op, arg = _names(number)
        params[op], params[arg] = step.op, packed
    params[_names(len(kernel.steps))[0]] = END
    return params


def fits_genome(kernel: Kernel) -> bool:
    """Whether a kernel's program can be packed into parameters."""
    return encode(kernel, list(OPS)) is not None


def decode(params: Mapping[str, Any], rank: int) -> Kernel:
    """The kernel of parameters. Raises InvalidKernel if they are not a legal program."""
    steps = []
    for number in range(GENOME_STEPS + 1):
        op, arg = _names(number)
        if params.get(op, END) == END:
            break
        if arg not in params:
            raise InvalidKernel(f"the parameter {arg!r} is missing")
        steps.append(unpack(str(params[op]), int(params[arg])))
    return Kernel.from_dict({"format": FORMAT, "rank": rank, "steps": steps})


def program_of(trial: FrozenTrial, rank: int = 2) -> Kernel | None:
    """The kernel of a stored trial: its user attribute `program` if it has one, else its parameters; None if neither."""
    text = trial.user_attrs.get(PROGRAM)
    try:
        return Kernel.from_json(text) if text else decode(trial.params, rank) if trial.params else None
    except InvalidKernel:
        return None


def suggest_program(trial: Trial, ops: Sequence[str], rank: int) -> Kernel:
    """Suggest the whole genome of a trial and decode it. Raises InvalidKernel if the sampler made no legal program.

    A program that was enqueued in the user attribute `program` is taken from there.
    """
    _ = trial.relative_params  # lets the sampler draw, which may store the program instead
    text = trial.storage.get_trial(trial._trial_id).user_attrs.get(PROGRAM)
    kernel = Kernel.from_json(text) if text else None
    params = encode(kernel, ops) if kernel is not None else None
    if kernel is not None and params is None:
        return kernel
    space = search_space(tuple(ops))
    chosen: dict[str, Any] = {}
    for number in range(GENOME_STEPS + 1):
        op, arg = _names(number)
        choice = trial.suggest_categorical(op, space[op].choices)  # type: ignore[attr-defined]
        chosen[op] = choice
        if choice == END:
            break
        if number == GENOME_STEPS:
            raise InvalidKernel(f"the program is longer than {GENOME_STEPS} steps")
        chosen[arg] = trial.suggest_int(arg, 0, _ARG_MAX)
    return kernel if kernel is not None else decode(chosen, rank)
