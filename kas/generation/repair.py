"""Repair: make a legal program out of any list of steps, keeping as much of it as fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kas.generation.draw import draw_unary
from kas.generation.filters import is_void
from kas.generation.grow import finish, to_kernel
from kas.generation.growth import Growth
from kas.generation.join import join, matrix_product, solve_join
from kas.generation.moves import Move, Moves
from kas.generation.products import batched_product, reassembly
from kas.generation.widths import width
from kas.language import Kernel, Step
from kas.language.dims import ONE
from kas.language.primitives.binary import Binary
from kas.language.primitives.linear import Conv, Fc

__all__ = ["RawStep", "repair"]

RawStep = tuple[Step, tuple[int, ...]]  # a step, and the numbers of the *raw* steps (from 1, 0 is the input) that it reads


def repair(moves: Moves, raw: Sequence[RawStep], rng: np.random.Generator) -> Kernel | None:
    """Replay steps one by one: each as it is, else with attributes that fit, else left out (its input stands for it).

    Then the program is closed. None where closing breaks a setting, such as the largest number of steps.
    """
    growth = Growth(moves)
    tensor = {0: 0}  # the tensor that stands for each raw step
    for number, (step, reads) in enumerate(raw, 1):
        ins = tuple(tensor[i] for i in reads)
        added = _replay(growth, step, ins, rng)
        tensor[number] = len(growth.steps) if added else ins[0]
    return to_kernel(growth) if _drop_unread(growth) and finish(growth, rng) else None


def _replay(growth: Growth, step: Step, ins: tuple[int, ...], rng: np.random.Generator) -> bool:
    """Add one step, with other attributes if it must be. A void step of one tensor is left out."""
    move = growth.moves.of(step)
    legal = move.arity == 1 and growth.moves.result(move, growth.shapes[ins[0]]) is not None
    if legal and is_void(move.at(ins), growth.steps, growth.shapes):
        return False
    if growth.add(move, ins, filtered=False):
        return True
    if step.op == "matmul":
        return matrix_product(growth, ins[0], ins[1], rng, solve=True)
    if step.op == "bmm":
        return batched_product(growth, ins[0], ins[1], rng)
    if step.op == "reassemble":
        return reassembly(growth, rng)
    if isinstance(step, Binary):
        left, right = ins
        if left == right:
            return False
        return join(growth, step.op, left, right, rng) or solve_join(growth, step.op, left, right, rng)
    others = _with_other_attributes(growth, step, ins[0], rng)
    return any(growth.add(other, ins) for other in others)


def _with_other_attributes(growth: Growth, step: Step, i: int, rng: np.random.Generator) -> list[Move]:
    """The same primitive with attributes that may fit tensor `i`."""
    facts = growth.facts[i]
    options: list[Move] = []
    if isinstance(step, Conv | Fc):
        fields: dict[str, Any] = {"depthwise": False} if isinstance(step, Conv) and facts.g is not ONE else {}
        to = facts.c if isinstance(step, Conv) and step.depthwise and not fields else width(growth, facts.g, rng)
        options.append(growth.moves.of(replace(step, to=to, **fields)))
    for _ in range(3):
        drawn = draw_unary(step.op, growth, i, rng)
        if drawn is not None:
            options.append(drawn)
    return options


def _drop_unread(growth: Growth) -> bool:
    """Remove steps whose tensors nothing reads, save the last one: an edit may have cut them off. Says whether it worked."""
    while True:
        left = [i for i in growth.open if i]
        if len(left) < 2:
            return True
        gone = left[0] - 1
        kept = [i for i in range(len(growth.steps)) if i != gone]
        ins = [tuple(j - (j > gone + 1) for j in growth.steps[i].ins) for i in kept]
        if not growth.rebuild([growth.made[i] for i in kept], ins, [growth.origins[i] for i in kept]):
            return False
