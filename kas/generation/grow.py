"""Growing one program: draw steps until only as many are left as closing needs, then close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kas.generation.close import close
from kas.generation.draw import draw_local, draw_unary, operand
from kas.generation.growth import Growth, pick, weighted
from kas.generation.join import join, matrix_product, solve_join
from kas.generation.limits import Limits
from kas.generation.settings import GenerationSettings
from kas.language import OPS, Dim, InvalidKernel, Kernel, Step
from kas.language.dims import FREE_VARIABLES, ONE
from kas.language.primitives.binary import Binary
from kas.language.primitives.linear import Conv
from kas.language.primitives.spatial import Shift, Unfold
from kas.language.shapes import CHANNEL

__all__ = ["add_step", "finish", "grow", "is_local", "renumbered"]

_TRIES = 12  # draws for each wanted step; about a third do not fit
_GROUPED = 8.0


def grow(rank: int, limits: Limits, settings: GenerationSettings, rng: np.random.Generator) -> Kernel | None:
    """One program from nothing, None where the draws led nowhere."""
    growth = Growth(rank, limits)
    goal = settings.min_steps + int(rng.random() * (settings.max_steps - settings.min_steps + 1))
    local_at = int(rng.random() * max(goal // 2, 1)) if rank and rng.random() < settings.local else goal
    pending = list(settings.required)
    for _ in range(_TRIES * goal):
        if len(growth.steps) + growth.needed >= goal:
            break
        if len(growth.steps) >= local_at and not any(is_local(step) for step in growth.steps):
            step = draw_local(growth, settings, rng)
            if step is not None and growth.add(step):
                continue
        op = pick(rng, pending) if pending and rng.random() < 0.5 else weighted(rng, _weights(growth, settings))
        if add_step(growth, op, settings, rng) and op in pending:
            pending.remove(op)
    for op in pending:
        if not any(add_step(growth, op, settings, rng) for _ in range(_TRIES)):
            return None
    return finish(growth, settings, rng)


def _weights(growth: Growth, settings: GenerationSettings) -> dict[str, float]:
    """The weights of the ops; shuffles and ungroups, which need groups, are likelier where there are some."""
    weights = settings.ops()
    if any(side.kind == CHANNEL and side.dim("g") is not ONE for side in growth.shapes[growth.last]):
        weights.update({op: _GROUPED * weights[op] for op in ("ungroup", "transpose") if op in weights})
    return weights


def add_step(growth: Growth, op: str, settings: GenerationSettings, rng: np.random.Generator) -> bool:
    """Draw a step of a primitive and add it. Says whether one fitted."""
    if op == "matmul" or issubclass(OPS[op], Binary):
        return _add_join(growth, op, settings, rng)
    step = draw_unary(op, growth, settings, rng)
    return step is not None and growth.add(step)


def _add_join(growth: Growth, op: str, settings: GenerationSettings, rng: np.random.Generator) -> bool:
    """Join the newest open tensor with another: one that is open if there is one, otherwise any."""
    a = growth.last
    others = growth.open[:-1] or list(range(len(growth.shapes)))
    b = pick(rng, others) if rng.random() < 0.7 else operand(growth, settings, rng)
    if op == "matmul":
        return matrix_product(growth, a, b, rng, solve=rng.random() < 0.3)
    return join(growth, op, a, b, rng) or (rng.random() < 0.4 and solve_join(growth, op, a, b, rng))


def finish(growth: Growth, settings: GenerationSettings, rng: np.random.Generator) -> Kernel | None:
    """Close a grown program and make it a kernel, None where that is impossible or breaks a setting."""
    if not close(growth, settings.forbidden, rng):
        return None
    steps = growth.steps
    if len(steps) > settings.max_steps or any(step.op in settings.forbidden for step in steps):
        return None
    try:
        return Kernel(growth.rank, renumbered(steps))
    except InvalidKernel:  # a width can have more than one free variable only after solving
        return None


def is_local(step: Step) -> bool:
    """Whether a step reads neighbours: an unfold, a shift, or a convolution with a kernel over 1."""
    return isinstance(step, Unfold | Shift) or (isinstance(step, Conv) and step.k != (1, 1))


def renumbered(steps: list[Step]) -> list[Step]:
    """The steps with their free variables named x0, x1, … in the order in which they occur."""
    names: dict[str, Dim] = {}

    def rename(dim: Dim) -> Dim:
        for name in dim.variables:
            new = names.setdefault(name, Dim.of(FREE_VARIABLES[len(names)]))
            return dim / Dim.of(name) * new
        return dim

    return [replace(step, **step.map_dims(rename)) for step in steps]
