"""The genome of a trial: its program in the user attribute `program`, and the op of each step as a parameter, for people.

The parameters of the kernel `k0` are `k0.s00`, `k0.s01` and so on: categoricals over the ops of the study and `end`, which
stands after the last step. They do not say what the steps read; the program is the attribute alone, canonical JSON that is
written before the parameters are suggested. That of another kernel of the same trial, as `k1`, is `program:k1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, Trial

from kas.language import InvalidKernel, Kernel
from kas.study.attributes import PROGRAM

__all__ = [
    "END", "FIRST", "attribute", "choices", "fixed_ops", "is_step", "keeps", "kernel_names", "parameters", "program_of",
    "suggest_ops",
]  # fmt: skip

END = "end"
FIRST = "k0"  # the kernel of a trial that has one
_STEP = re.compile(r"(\w+)\.s(\d{2,3})")


def attribute(key: str, name: str) -> str:
    """The user attribute of a kernel: `program` of the first, `program:k1` of another.

    >>> attribute("hash", "k0"), attribute("hash", "k1")
    ('hash', 'hash:k1')
    """
    return key if name == FIRST else f"{key}:{name}"


@lru_cache(maxsize=8)
def choices(ops: tuple[str, ...]) -> CategoricalDistribution:
    """The distribution of every step, which never changes within a study."""
    return CategoricalDistribution([*ops, END])


def is_step(parameter: str, distribution: BaseDistribution) -> bool:
    """Whether a parameter is the op of a kernel's step."""
    if not isinstance(distribution, CategoricalDistribution) or distribution.choices[-1] != END:
        return False
    return _STEP.fullmatch(parameter) is not None


def parameters(kernel: Kernel, name: str = FIRST) -> dict[str, str]:
    """The parameters of a kernel.

    >>> import kas
    >>> parameters(kas.zoo.get("conv3x3"))
    {'k0.s00': 'conv', 'k0.s01': 'end'}
    """
    ops = [*(step.op for step in kernel.steps), END]
    return {f"{name}.s{number:02d}": op for number, op in enumerate(ops)}


def kernel_names(trial: FrozenTrial) -> list[str]:
    """The names of the kernels that a trial carries."""
    first = [FIRST] if PROGRAM in trial.user_attrs else []
    return first + sorted(key.removeprefix(f"{PROGRAM}:") for key in trial.user_attrs if key.startswith(f"{PROGRAM}:"))


def program_of(trial: FrozenTrial, name: str = FIRST) -> Kernel | None:
    """A kernel of a stored trial; None if it carries no legal program of this name."""
    text = trial.user_attrs.get(attribute(PROGRAM, name))
    try:
        return Kernel.from_json(text) if isinstance(text, str) else None
    except InvalidKernel:
        return None


def fixed_ops(fixed: Mapping[str, Any], name: str = FIRST) -> dict[int, str]:
    """What given parameters say about a kernel: ops, by the number of their step."""
    found = {_STEP.fullmatch(key): value for key, value in fixed.items()}
    return {int(match[2]): str(value) for match, value in found.items() if match is not None and match[1] == name}


def keeps(kernel: Kernel, ops: Mapping[int, str]) -> bool:
    """Whether a kernel has these ops at these steps (`end` after its last one)."""
    made = [*(step.op for step in kernel.steps), END]
    return all(number < len(made) and made[number] == op for number, op in ops.items())


def suggest_ops(trial: Trial, kernel: Kernel, ops: tuple[str, ...], name: str = FIRST) -> None:
    """Suggest the parameters of a kernel whose program the trial carries; none if it has ops that the study has not."""
    distribution = choices(ops)
    wanted = parameters(kernel, name)
    if set(wanted.values()) <= set(distribution.choices):
        for parameter in wanted:
            trial.suggest_categorical(parameter, distribution.choices)
