"""Giving a program a free inner width, so that it can use its budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kas.generation.growth import Growth, pick
from kas.generation.limits import Limits
from kas.generation.settings import GenerationSettings
from kas.language import Dim, InvalidKernel, Kernel, Step
from kas.language.dims import FREE_VARIABLES
from kas.language.primitives.linear import Conv, Fc
from kas.language.primitives.pointwise import Relu

__all__ = ["widened"]


def widened(kernel: Kernel, limits: Limits, settings: GenerationSettings, rng: np.random.Generator) -> Iterator[Kernel]:
    """Kernels like this one with one more free width: first by freeing a width that it has, then by a new bottleneck."""
    fresh = next((Dim.of(name) for name in FREE_VARIABLES if name not in kernel.variables), None)
    if fresh is None:
        return
    order = list(range(len(kernel.steps)))
    rng.shuffle(order)
    for i in order:
        step = kernel.steps[i]
        if isinstance(step, Fc | Conv) and not step.to.variables and not getattr(step, "depthwise", False):
            yield from _legal(kernel.rank, _put(kernel.steps, i, replace(step, to=fresh)), limits)
    if len(kernel.steps) + 2 > settings.max_steps:
        return
    for i in order:
        yield from _legal(kernel.rank, _bottleneck(kernel, i, fresh, settings, rng), limits)


def _put(steps: tuple[Step, ...], i: int, step: Step) -> list[Step]:
    return [*steps[:i], step, *steps[i + 1 :]]


def _bottleneck(
    kernel: Kernel, i: int, fresh: Dim, settings: GenerationSettings, rng: np.random.Generator
) -> list[Step]:
    """The steps with `conv or fc to x`, relu, `fc` back put behind tensor i+1, which must have plain channels first."""
    tensor = i + 1
    channels = kernel.shapes[tensor].first
    size = pick(rng, settings.kernel_sizes)
    k = (size if kernel.rank else 1, size if kernel.rank == 2 else 1)
    convolve = kernel.rank and rng.random() < 0.5 and "conv" not in settings.forbidden
    down: Step = Conv((tensor,), to=fresh, k=k) if convolve else Fc((tensor,), to=fresh)
    inserted: list[Step] = [down]
    if "relu" not in settings.forbidden and len(kernel.steps) + 3 <= settings.max_steps:
        inserted.append(Relu((tensor + 1,)))
    inserted.append(Fc((tensor + len(inserted),), to=channels.product))
    moved = len(inserted)
    later = [replace(step, ins=tuple(j + moved if j >= tensor else j for j in step.ins)) for step in kernel.steps[i + 1 :]]
    return [*kernel.steps[:tensor], *inserted, *later]


def _legal(rank: int, steps: list[Step], limits: Limits) -> Iterator[Kernel]:
    growth = Growth(rank, limits)
    if not all(growth.add(step, filtered=False) for step in steps) or not growth.closed:
        return
    try:
        yield Kernel(rank, steps)
    except InvalidKernel:
        return
