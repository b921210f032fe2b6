"""The scales of a program at its sizes, step by step, and the initial weights that keep them sane.

A weight that follows a step which breaks the scale (a softmax, a product, a sum of branches) restores it: its standard
deviation is that of a fan-in initialisation over the root mean square that its input is expected to have. The estimate
takes values as normal and unrelated tensors as independent. It is no proof: a study checks a network before it trains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from kas.language.primitives import Step
from kas.language.scales.rules import FORMAL, RULES
from kas.language.scales.signal import BATCH, Signal, weight_bit
from kas.language.scales.walk import Walk
from kas.language.shapes import Shape

__all__ = ["Analysis", "analyse", "is_sane"]

_DEAD = 1e-10  # share of the output's variance under which a linear map has no effect that training finds
_DEAD_FORMAL = 1e-21  # the same of a scale or bias, whose start as a constant has none yet
_SANE = (0.1, 10.0)  # the measured scale differs from the estimate by less than 10 times in 99 % of kernels
_DEPENDENCE = 1e-2
_WEIGHTED = ("fc", "conv", "mix", "filter", "scale", "bias")
_SHARPEST = 20.0  # variance of logits over which nearly all of a softmax is on one, or a sigmoid flat: no gradient is left
_DROWNED = 50.0  # change of the output, in its standard deviations, for a change of a bias by one: updates drown the rest
_CONSTANT = ("scale", "bias")


class Analysis(Walk):
    """What is expected of every tensor of a program at given sizes, before any training, for unit normal input."""

    def __init__(self, steps: Sequence[Step], shapes: Sequence[Shape], env: Mapping[str, int]):
        """`env` has the value of every symbol that occurs; `shapes` those of all tensors, the input first."""
        super().__init__(steps, shapes, env)
        for number, step in enumerate(steps, 1):
            self.signals.append(RULES[step.op](self, step, number))
        self.output: Signal = self.signals[self.readers.index([])]

    @property
    def scale(self) -> float:
        """The standard deviation of the output over everything."""
        return sqrt(self.output.variance)

    @property
    def dependence(self) -> float:
        """How much of the output's root mean square varies with the input."""
        output = self.output
        moving = sum(variance for bits, variance in output.parts.items() if bits & BATCH)
        return sqrt(moving / output.second) if moving > 0.0 else 0.0

    def without_effect(self) -> list[int]:
        """The weighted steps that the output does not vary with."""
        output = self.output
        least = _DEAD * output.variance
        varied = 0  # with what a single part varies that is large enough
        for bits, variance in output.parts.items():
            if variance > least:
                varied |= bits
        dead = []
        for number, step in enumerate(self.steps, 1):
            if step.op in _WEIGHTED and not varied & weight_bit(number):
                effect = sum(variance for bits, variance in output.parts.items() if bits & weight_bit(number))
                if effect <= (_DEAD_FORMAL * output.variance if step.op in _CONSTANT else least):
                    dead.append(number)
        return dead

    def is_drowned(self) -> bool:
        """Whether small changes of a bias hide what the output is otherwise."""
        least = _DROWNED**2 * FORMAL * self.output.variance
        for number, step in enumerate(self.steps, 1):
            if step.op == "bias":
                bit = weight_bit(number)
                if sum([variance for bits, variance in self.output.parts.items() if bits & bit]) > least:
                    return True
        return False

    @property
    def is_sane(self) -> bool:
        """Whether the output's scale is sane, it depends on the input, and every weight has an effect, but none too much."""
        if self.sharpest > _SHARPEST or not _SANE[0] <= self.scale <= _SANE[1] or self.dependence < _DEPENDENCE:
            return False
        return not self.without_effect() and not self.is_drowned()


def analyse(steps: Sequence[Step], shapes: Sequence[Shape], env: Mapping[str, int]) -> Analysis:
    """The analysis of a program; `env` has the value of every symbol that occurs."""
    return Analysis(steps, shapes, env)


def is_sane(steps: Sequence[Step], shapes: Sequence[Shape], env: Mapping[str, int]) -> bool:
    """Whether a program is expected to start sanely at these sizes: scale, dependence on the input, effect of weights."""
    return Analysis(steps, shapes, env).is_sane
