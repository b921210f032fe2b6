"""Steering: which ops are likely where. Look-ahead makes the last drawn steps those that a program is closed with."""

from __future__ import annotations

from math import ceil

from kas.generation.choice import Choice
from kas.generation.growth import Growth
from kas.generation.settings import GenerationSettings
from kas.language import FAMILIES

__all__ = ["Steering"]

_GROUPED = 8.0  # an ungroup or shuffle where there are groups
_OPEN = 2.0  # a join where more than one tensor is open
_NEAR = 2  # how many steps before the end the program is steered to its end
_LAST_JOIN, _LAST_LINEAR = 12.0, 6.0
_JOINS = frozenset(p.op for family in ("binary", "matmul", "products") for p in FAMILIES[family])
_WEIGHTED = frozenset(("fc", "conv", "mix", "filter", "scale", "bias"))
_LINEAR = frozenset(("fc", "conv", "mix"))

State = tuple[frozenset[str], bool, bool, bool, bool, int]  # unfit, grouped, several open, near, closed, which of weighted


class Steering:
    """The weights of the ops by the state of the program."""

    def __init__(self, settings: GenerationSettings):
        self._settings = settings
        self._choices: dict[State, Choice[str]] = {}
        self._any_share = not settings.min_weighted and settings.max_weighted == 1
        self.any_wide = any(op in settings.weights for op in ("conv", "fc"))
        self.any_local = any(op in settings.weights for op in ("conv", "unfold", "shift"))

    @staticmethod
    def near(left: int) -> bool:
        """Whether the end is near, with so many steps left that need not finish the program."""
        return left <= _NEAR

    def choice(self, growth: Growth, goal: int, left: int) -> Choice[str]:
        """What to draw next from."""
        facts, several = growth.facts[growth.open[-1]], len(growth.open) > 1
        closed = not several and facts.output
        weighted = 0 if self._any_share else self._weighted(growth, goal, left)
        state = (facts.unfit, facts.grouped, several, left <= _NEAR, closed, weighted)
        known = self._choices.get(state)
        if known is None:
            known = self._choices[state] = self._make(*state)
        return known

    def _weighted(self, growth: Growth, goal: int, left: int) -> int:
        """1 if only weighted ops may be drawn, -1 if none may, 0 if all may, for the share that the settings ask for."""
        least, most = self._settings.min_weighted, self._settings.max_weighted
        if growth.weighted + 1 > int(most * goal):
            return -1
        return 1 if least and growth.weighted + left <= ceil(least * goal) else 0

    def _make(
        self, unfit: frozenset[str], grouped: bool, several: bool, near: bool, closed: bool, weighted: int
    ) -> Choice[str]:
        weights = {op: weight for op, weight in self._settings.weights.items() if op not in unfit}
        for op in weights:
            if grouped and op in ("ungroup", "transpose"):
                weights[op] *= _GROUPED
            if several and op in _JOINS:
                weights[op] *= _LAST_JOIN if near else _OPEN
            elif near and not several and not closed and op in _LINEAR:
                weights[op] *= _LAST_LINEAR
        if weighted:
            some = {op: weight for op, weight in weights.items() if (op in _WEIGHTED) == (weighted > 0)}
            weights = some or weights
        return Choice(weights or self._settings.weights)
