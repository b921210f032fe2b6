"""Repair: make a legal program out of any list of steps, keeping as much of it as fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kas.generation.draw import draw_unary, width
from kas.generation.filters import is_void
from kas.generation.grow import finish
from kas.generation.growth import Growth
from kas.generation.join import join, matrix_product, solve_join
from kas.generation.limits import Limits
from kas.generation.settings import GenerationSettings
from kas.language import Kernel, Step
from kas.language.dims import ONE
from kas.language.primitives.binary import Binary
from kas.language.primitives.linear import Conv, Fc
from kas.language.shapes import CHANNEL

__all__ = ["RawStep", "repair"]

RawStep = tuple[Step, tuple[int, ...]]  # a step, and the numbers of the *raw* steps (from 1, 0 is the input) that it reads


def repair(
    rank: int, raw: Sequence[RawStep], limits: Limits, settings: GenerationSettings, rng: np.random.Generator
) -> Kernel | None:
    """Replay steps one by one: each as it is, else with attributes that fit, else left out (its input stands for it).

    Then the program is closed. None where closing breaks a setting, such as the largest number of steps.
    """
    growth = Growth(rank, limits)
    tensor = {0: 0}  # the tensor that stands for each raw step
    for number, (step, reads) in enumerate(raw, 1):
        ins = tuple(tensor[i] for i in reads)
        added = _replay(growth, replace(step, ins=ins), settings, rng)
        tensor[number] = len(growth.steps) if added else ins[0]
    _drop_unread(growth)
    return finish(growth, settings, rng)


def _replay(growth: Growth, step: Step, settings: GenerationSettings, rng: np.random.Generator) -> bool:
    """Add one step, with other attributes if it must be. A void step of one tensor is left out."""
    if step.arity == 1 and is_void(step, growth.steps, growth.shapes):
        return False
    if growth.add(step, filtered=False):
        return True
    if step.op == "matmul":
        return matrix_product(growth, step.ins[0], step.ins[1], rng, solve=True)
    if isinstance(step, Binary):
        left, right = step.ins
        if left == right:
            return False
        return join(growth, step.op, left, right, rng) or solve_join(growth, step.op, left, right, rng)
    others = _with_other_attributes(growth, step, settings, rng)
    return any(growth.add(other) for other in others)


def _with_other_attributes(
    growth: Growth, step: Step, settings: GenerationSettings, rng: np.random.Generator
) -> list[Step]:
    """The same primitive on the same tensor, with attributes that may fit there."""
    shape = growth.shapes[step.ins[0]]
    options: list[Step] = []
    if isinstance(step, Conv | Fc):
        groups = next((side.dim("g") for side in shape if side.kind == CHANNEL), ONE)
        c = next((side.dim("c") for side in shape if side.kind == CHANNEL), ONE)
        fields: dict[str, Any] = {"depthwise": False} if isinstance(step, Conv) and groups is not ONE else {}
        to = c if isinstance(step, Conv) and step.depthwise and not fields else width(growth, groups, rng)
        options.append(replace(step, to=to, **fields))
    for _ in range(3):
        drawn = draw_unary(step.op, growth, settings, rng)
        if drawn is not None:
            options.append(replace(drawn, ins=step.ins))
    return options


def _drop_unread(growth: Growth) -> None:
    """Remove steps whose tensors nothing reads, save the last one: an edit may have cut them off."""
    while True:
        left = [i for i in growth.open if i]
        if len(left) < 2:
            return
        gone = left[0]
        kept = [step for i, step in enumerate(growth.steps, 1) if i != gone]
        other = Growth(growth.rank, growth.limits)
        for step in kept:
            other.add(replace(step, ins=tuple(i - (i > gone) for i in step.ins)), filtered=False)
        growth.become(other)


