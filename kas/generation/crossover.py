"""Crossover: splice two programs at tensors that fit. The child is always legal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from kas.generation.choice import pick
from kas.generation.mutate import mutate
from kas.generation.repair import RawStep, repair
from kas.generation.sample import Sampler
from kas.language import Dim, Kernel, Shape, Step
from kas.language.dims import FREE_VARIABLES

__all__ = ["crossover"]

_ATTEMPTS = 30


def crossover(first: Kernel, second: Kernel, sampler: Sampler, rng: np.random.Generator) -> Kernel:
    """A legal kernel that makes a tensor as `first` does and goes on from it as `second` does.

    The tensors are chosen so that their shapes fit: equal, up to the names of free variables. Any two kernels fit at
    least at an output and an input. If no splice fits targets and budget, or all repeat a parent, a mutation of one parent.
    """
    other = _renamed(second, first.variables)
    if other is not None:
        points = _points(first, other)
        for _ in range(_ATTEMPTS):
            made, read = pick(rng, points)
            child = repair(sampler.moves, _splice(first, made, other, read), rng)
            if child is not None and child.hash not in (first.hash, second.hash) and sampler.fits(child):
                return child
    return mutate(pick(rng, (first, second)), sampler, rng)


def _renamed(kernel: Kernel, taken: Iterable[str]) -> Kernel | None:
    """The kernel with other free variables than those taken; None if there are not enough."""
    free = [name for name in FREE_VARIABLES if name not in set(taken)]
    if len(free) < len(kernel.variables):
        return None
    names = dict(zip(kernel.variables, free, strict=False))

    def rename(dim: Dim) -> Dim:
        for name in dim.variables:
            return dim / Dim.of(name) * Dim.of(names[name])
        return dim

    return Kernel(kernel.rank, [replace(step, **step.map_dims(rename)) for step in kernel.steps])


def _points(first: Kernel, second: Kernel) -> list[tuple[int, int]]:
    """Pairs of a tensor that `first` makes and one that `second` reads, with shapes that fit; not both the input."""
    reads = {i for step in second.steps for i in step.ins}
    pairs = [
        (made, read)
        for made, ours in enumerate(first.shapes)
        for read in sorted(reads)
        if (made or read) and _anonymous(ours) == _anonymous(second.shapes[read])
    ]
    return [*pairs, (len(first.steps), 0)]


def _anonymous(shape: Shape) -> tuple[object, ...]:
    """A shape with its free variables without names."""
    sides = []
    for side in shape:
        dims = [dim / Dim.of(dim.variables[0]) if dim.variables else dim for dim in side.dims]
        sides.append((side.kind, tuple(dims), tuple(bool(dim.variables) for dim in side.dims)))
    return tuple(sides)


def _splice(first: Kernel, made: int, second: Kernel, read: int) -> list[RawStep]:
    """The steps of `first` that make a tensor, then those of `second`, whose tensor `read` is replaced by it.

    Steps of either that only led to what was cut away are left out.
    """
    raw: list[RawStep] = []
    ours = {0: 0}
    for number in _ancestors(first.steps, made):
        _append(raw, first.steps[number - 1], ours, number)
    theirs = {0: 0, read: ours[made]}
    needed = _needed(second.steps, read)
    for number, step in enumerate(second.steps, 1):
        if number in needed:
            _append(raw, step, theirs, number)
    return raw


def _append(raw: list[RawStep], step: Step, numbers: dict[int, int], number: int) -> None:
    raw.append((step, tuple(numbers[i] for i in step.ins)))
    numbers[number] = len(raw)


def _ancestors(steps: tuple[Step, ...], tensor: int) -> list[int]:
    """The steps that a tensor is made by, itself included, in order."""
    needed, queue = set(), [tensor]
    while queue:
        number = queue.pop()
        if number and number not in needed:
            needed.add(number)
            queue.extend(steps[number - 1].ins)
    return sorted(needed)


def _needed(steps: tuple[Step, ...], given: int) -> set[int]:
    """The steps that make the output when one tensor is given."""
    needed, queue = set(), [len(steps)]
    while queue:
        number = queue.pop()
        if number and number != given and number not in needed:
            needed.add(number)
            queue.extend(steps[number - 1].ins)
    return needed
