"""What a growing program may not exceed: the sizes of the targets, the budget, the size of its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd
from operator import le
from typing import Any

from kas.generation.settings import GenerationSettings
from kas.language import Outcome, Shape, Step
from kas.language.dims import FREE_VARIABLES, Dim
from kas.language.primitives.linear import Conv, Filter
from kas.language.primitives.spatial import Unfold
from kas.language.shapes import input_shape
from kas.solvers.limits import parse_budget, resolve
from kas.solvers.targets import Target

__all__ = ["NOTHING", "Limits"]

NOTHING: tuple[float, ...] = ()  # the cost of a step without MACs and parameters


def _nominal(rank: int) -> Target:
    """What stands for the targets where none are given."""
    return Target("", in_channels=64, out_channels=64, size=(16, 16)[:rank], kernel_size=(3, 3)[:rank])


def _environment(target: Target) -> dict[str, int]:
    return {"C": target.channels, "G": 1, **dict(zip("HW", target.size, strict=False))}


def _ceilings(budget: Mapping[str, Any], targets: Sequence[Target]) -> dict[str, float]:
    """What the templates of all targets together may cost: the upper limits, less what the adapters cost."""
    ceilings = {}
    for limit in resolve(parse_budget(budget), targets):
        if limit.total is not None and limit.key != "memory":  # memory depends on the order of the steps: the solver decides
            most = limit.total / 2 if limit.key == "work" else limit.total
            field = "params" if limit.key == "params" else "macs"
            ceilings[limit.key] = most - sum(getattr(t.adapter, field) for t in targets)
    return ceilings


class Limits:
    """Lower bounds of a program's cost at the targets, and what they may not pass.

    Free variables are taken as 1 in costs (nothing is cheaper) and as a quarter of the channels in the size of tensors.
    """

    def __init__(
        self,
        rank: int,
        targets: Sequence[Target] | None,
        budget: Mapping[str, Any] | None,
        settings: GenerationSettings,
        also: Sequence[Target] = (),
    ):
        """`also`: further targets at which kernels must exist; the budget is not theirs."""
        self.settings = settings
        chosen = list(targets or [_nominal(rank)])
        self._envs = [_environment(t) for t in (*chosen, *also)]
        self._groups = gcd(*(t.channels for t in chosen))
        self._templates = [t.adapter.templates for t in chosen]
        self._limits = _ceilings(budget, chosen) if budget is not None and targets else {}
        self.ceilings = tuple(self._limits.values())
        self.enough = tuple([settings.min_use * most for most in self.ceilings])
        self._least = [{**env, **dict.fromkeys(FREE_VARIABLES, 1)} for env in self._envs]
        self._cheapest = [{**values, "G": self._groups} for values in self._least[: len(chosen)]]
        self._quarter = [{**env, **dict.fromkeys(FREE_VARIABLES, max(env["C"] // 4, 1))} for env in self._envs]
        self._most = [settings.max_tensor * input_shape(rank).product.value(env) for env in self._envs]
        self._totals: dict[Dim, int] = {}
        self._exists: dict[Dim, bool] = {}
        self._lengths: dict[Dim, float] = {}
        self._shapes: dict[Shape, bool] = {}

    def allow(self, outcome: Outcome) -> bool:
        """Whether a step may be made at all, if its taps are inside: its dims exist at every target, its tensor is small."""
        if not self.settings.fixed_size and any(dim.power_of("H") or dim.power_of("W") for dim in outcome.weight or ()):
            return False
        if not self._allows(outcome.shape):
            return False
        return all(map(self.exists, outcome.quotients))

    def costs(self, outcome: Outcome) -> tuple[float, ...]:
        """The least that a step costs, for each of the ceilings; NOTHING where it costs nothing."""
        costs = tuple([self._cost(key, outcome) for key in self._limits])
        return costs if any(costs) else NOTHING

    def exists(self, dim: Dim) -> bool:
        """Whether a dim is an integer at every target, or can be one."""
        known = self._exists.get(dim)
        if known is None:
            known = bool(dim.variables) or all(_is_whole(*dim.fraction(env)) for env in self._envs)
            self._exists[dim] = known
        return known

    def _allows(self, shape: Shape) -> bool:
        """Whether the dims of a tensor exist at every target, and it is small enough there."""
        known = self._shapes.get(shape)
        if known is None:
            sizes = [_value(shape.product, values) for values in self._quarter]
            known = all(map(self.exists, [dim for _, dim in shape.axes()])) and all(map(le, sizes, self._most))
            self._shapes[shape] = known
        return known

    def reaches(self, step: Step, source: Shape) -> bool:
        """Whether every tap (or the shifted position) can be inside at every target.

        Raises InvalidKernel where the step cannot read such a tensor.
        """
        if isinstance(step, Conv):
            taps = zip(("1.h", "1.w"), step.k, step.d, strict=True)
            reach = [(name, d * (k - 1) // 2) for name, k, d in taps if k > 1]
        elif isinstance(step, Unfold):
            reach = [(f"1.{axis}", step.d * (step.k - 1) // 2) for axis in step.over]
        elif isinstance(step, Filter):
            reach = [(step.axis, step.d * (step.k - 1) // 2)]
        else:
            reach = step.reaches()
        return not reach or all(self._shortest(source.axis(name)) > abs(most) for name, most in reach)

    def _shortest(self, dim: Dim) -> float:
        """The least value of an axis over the targets, with every variable at 1."""
        known = self._lengths.get(dim)
        if known is None:
            known = self._lengths[dim] = min([_value(dim, values) for values in self._least])
        return known

    def _cost(self, key: str, outcome: Outcome) -> float:
        if key == "params":
            return self._total(outcome.params) if outcome.params is not None else 0
        macs = self._total(outcome.macs) if outcome.macs is not None else 0
        if key == "work" and outcome.elementwise is not None:
            return macs + outcome.elementwise[0] * self._total(outcome.elementwise[1]) / 2
        return macs

    def _total(self, dim: Dim) -> int:
        """Summed over the targets and their templates, with every variable at 1 and as many groups as possible."""
        known = self._totals.get(dim)
        if known is None:
            known = 0
            for values, templates in zip(self._cheapest, self._templates, strict=True):
                numerator, denominator = dim.fraction(values)
                known += numerator // denominator * templates
            self._totals[dim] = known
        return known


def _value(dim: Dim, values: Mapping[str, int]) -> float:
    numerator, denominator = dim.fraction(values)
    return numerator / denominator


def _is_whole(numerator: int, denominator: int) -> bool:
    return numerator % denominator == 0
