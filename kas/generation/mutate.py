"""Mutation: insert, delete, replace, rewire a step, or change one of its attributes. The child is always legal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from kas.generation.choice import Choice, pick
from kas.generation.draw import draw_unary, operand
from kas.generation.grow import add_step
from kas.generation.growth import Growth
from kas.generation.repair import RawStep, repair
from kas.generation.sample import Sampler
from kas.generation.widths import width
from kas.language import OPS, Kernel, Step
from kas.language.primitives.linear import Conv, Fc
from kas.language.primitives.products import Bmm

__all__ = ["MUTATIONS", "mutate"]

_ATTEMPTS = 40

Edit = Callable[[Kernel, Sampler, np.random.Generator], "list[RawStep] | None"]


def mutate(kernel: Kernel, sampler: Sampler, rng: np.random.Generator) -> Kernel:
    """A legal kernel one edit away that fits the sampler's targets and budget and has another hash.

    If no edit is found in a bounded number of attempts, a kernel drawn from nothing.
    """
    for _ in range(_ATTEMPTS):
        raw = pick(rng, list(MUTATIONS.values()))(kernel, sampler, rng)
        if raw is None:
            continue
        child = repair(sampler.moves, raw, rng)
        if child is not None and child.hash != kernel.hash and sampler.fits(child):
            return child
    return sampler.draw(rng)


def _raw(kernel: Kernel) -> list[RawStep]:
    return [(step, step.ins) for step in kernel.steps]


def _replayed(kernel: Kernel, upto: int, sampler: Sampler) -> Growth:
    """The state of growth after the first `upto` steps, or as far as they are possible at the sampler's targets."""
    growth = Growth(sampler.moves)
    for step in kernel.steps[:upto]:
        if not growth.add(sampler.moves.of(step), step.ins, filtered=False):
            break
    return growth


def _insert(kernel: Kernel, sampler: Sampler, rng: np.random.Generator) -> list[RawStep] | None:
    """A new step behind a tensor; whatever read the tensor reads the new one."""
    at = int(rng.random() * (len(kernel.steps) + 1))
    growth = _replayed(kernel, at, sampler)
    if len(growth.steps) != at or not add_step(growth, sampler.op(rng), False, rng):
        return None
    new = growth.steps[at:]
    source, made, by = new[0].ins[0], len(growth.steps), len(new)
    raw = _raw(kernel)[:at] + [(step, step.ins) for step in new]
    for step in kernel.steps[at:]:
        raw.append((step, tuple(made if i == source else i + by * (i > at) for i in step.ins)))
    return raw


def _delete(kernel: Kernel, sampler: Sampler, rng: np.random.Generator) -> list[RawStep] | None:
    """One step less; whatever read its tensor reads one of its inputs."""
    if len(kernel.steps) < 2:
        return None
    gone = 1 + int(rng.random() * len(kernel.steps))
    instead = pick(rng, kernel.steps[gone - 1].ins)

    def moved(i: int) -> int:
        return instead if i == gone else i - (i > gone)

    return [(step, tuple(moved(i) for i in step.ins)) for n, step in enumerate(kernel.steps, 1) if n != gone]


def _replace(kernel: Kernel, sampler: Sampler, rng: np.random.Generator) -> list[RawStep] | None:
    """Another primitive in the place of a step, of the same number of operands."""
    at = int(rng.random() * len(kernel.steps))
    old = kernel.steps[at]
    ops = {op: w for op, w in sampler.settings.weights.items() if OPS[op].arity == old.arity and op != old.op}
    if not ops:
        return None
    op = Choice(ops).draw(rng)
    raw = _raw(kernel)
    if old.arity == 2:
        new = OPS[op](old.ins) if op != "bmm" else Bmm(old.ins, ("g",))  # others are drawn if these axes do not fit
        raw[at] = (new, old.ins)
        return raw
    growth = _replayed(kernel, at, sampler)
    drawn = draw_unary(op, growth, _source(growth, old, rng), rng)
    if drawn is None:
        return None
    raw[at] = (drawn.step, old.ins)
    return raw


def _source(growth: Growth, step: Step, rng: np.random.Generator) -> int:
    """The tensor that a step reads, or another where the program does not come that far."""
    return step.ins[0] if step.ins[0] < len(growth.shapes) else operand(growth, rng)


def _rewire(kernel: Kernel, sampler: Sampler, rng: np.random.Generator) -> list[RawStep] | None:
    """A step reads another earlier tensor."""
    at = int(rng.random() * len(kernel.steps))
    step = kernel.steps[at]
    which = int(rng.random() * step.arity)
    ins = list(step.ins)
    ins[which] = int(rng.random() * (at + 1))
    if tuple(ins) == step.ins:
        return None
    raw = _raw(kernel)
    raw[at] = (step, tuple(ins))
    return raw


def _change(kernel: Kernel, sampler: Sampler, rng: np.random.Generator) -> list[RawStep] | None:
    """Another value for the attributes of a step: a width, a kernel size, axes, a direction."""
    having = [i for i, step in enumerate(kernel.steps) if step.codecs()]
    if not having:
        return None
    at = pick(rng, having)
    step = kernel.steps[at]
    raw = _raw(kernel)
    if step.arity == 2:
        raw[at] = (replace(step, **_flipped(step, rng)), step.ins)
        return raw
    growth = _replayed(kernel, at, sampler)
    if isinstance(step, Fc | Conv) and not getattr(step, "depthwise", False) and rng.random() < 0.5:
        groups = growth.facts[_source(growth, step, rng)].g
        raw[at] = (replace(step, to=width(growth, groups, rng)), step.ins)
        return raw
    drawn = draw_unary(step.op, growth, _source(growth, step, rng), rng)
    if drawn is None:
        return None
    raw[at] = (drawn.step, step.ins)
    return raw


def _flipped(step: Step, rng: np.random.Generator) -> dict[str, Any]:
    """One boolean attribute of a step turned over."""
    name = pick(rng, list(step.codecs()))
    value = getattr(step, name)
    if isinstance(value, bool):
        return {name: not value}
    which = int(rng.random() * len(value))
    return {name: tuple(not v if i == which else v for i, v in enumerate(value))}


MUTATIONS: dict[str, Edit] = {
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "rewire": _rewire,
    "change": _change,
}
