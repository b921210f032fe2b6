"""Completion: a program of which some steps are given by their op alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kas.generation.grow import add_step, finish, to_kernel
from kas.generation.growth import Growth
from kas.generation.sample import Sampler
from kas.language import OPS, Kernel

__all__ = ["complete"]

_ATTEMPTS = 3000
_TRIES = 6  # for a step whose op is given


def complete(ops: Mapping[int, str], length: int | None, sampler: Sampler, rng: np.random.Generator) -> Kernel | None:
    """A legal kernel that fits the sampler's targets and budget and has these ops at these steps; None if none was found.

    ops: by the number of the step, from 0. length: how many steps it has, if that is given too.
    """
    if not set(ops.values()) <= OPS.keys() or not all(sampler.settings.permits(op) for op in ops.values()):
        return None
    given = max(ops, default=-1) + 1
    for _ in range(_ATTEMPTS):
        growth = _grown(ops, given, length, sampler, rng)
        if growth is None or not finish(growth, rng):
            continue
        kernel = to_kernel(growth)
        if kernel is not None and _has(kernel, ops, length) and sampler.fits(kernel):
            return kernel
    return None


def _has(kernel: Kernel, ops: Mapping[int, str], length: int | None) -> bool:
    made = [step.op for step in kernel.steps]
    return length in (None, len(made)) and all(number < len(made) and made[number] == op for number, op in ops.items())


def _grown(ops: Mapping[int, str], given: int, length: int | None, sampler: Sampler, rng: np.random.Generator) -> Growth | None:
    """A program up to its last given step, and on to where closing it makes it as long as it shall be."""
    growth = Growth(sampler.moves)
    tries = _TRIES * (given + (length or 0) + 1)
    while len(growth.steps) < given or (length is not None and len(growth.steps) + growth.needed < length):
        tries -= 1
        wanted = ops.get(len(growth.steps))
        if tries < 0:
            return None
        add_step(growth, wanted or sampler.op(rng), rng.random() < 0.5, rng)
        if any(step.op != ops.get(number, step.op) for number, step in enumerate(growth.steps)):
            return None
    return growth
