"""Whether a sampled kernel starts sanely: what no weight can repair is not sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from kas.language import Kernel
from kas.language.scales import is_sane
from kas.solvers import Sizes
from kas.solvers.targets import Target

__all__ = ["Sanity"]

_RISKY = frozenset(
    (
        "fold",
        "softmax",
        "normalize",
        "matmul",
        "mul",
        "div",
        "exp",
        "sqr",
        "sqrt",
        "tanh",
        "sigmoid",
        "sub",
        "max",
        "min",
        "pool",
        "col2im",
        "bmm",
        "reassemble",
    )
)


class Sanity:
    """What is expected of kernels at some targets before they are trained."""

    def __init__(self, targets: Sequence[Target]):
        self._largest = max(targets, key=lambda one: prod(one.size))
        self._others = [target for target in targets if target is not self._largest]
        self._envs = {target.name: {"C": target.channels, **dict(zip("HW", target.size, strict=False))} for target in targets}

    def holds(self, kernel: Kernel, sizes: Sizes) -> bool:
        """Whether a kernel's output is expected to have a sane scale, to depend on the input, and every weight an effect.

        Judged at the target with the most positions, where means are smallest, and at one where some width is 1, so that
        a softmax over it is a constant, if there is one. Some 50 microseconds each.
        """
        if _RISKY.isdisjoint([step.op for step in kernel.steps]):
            return True  # linear maps, sums and rectifiers: the initial weights keep their scale
        values = sizes.values
        if not self._holds_at(self._largest.name, kernel, sizes.groups, values):
            return False
        for target in self._others:
            if 1 in values[target.name].values():
                return self._holds_at(target.name, kernel, sizes.groups, values)
        return True

    def _holds_at(self, target: str, kernel: Kernel, groups: int, values: Mapping[str, dict[str, int]]) -> bool:
        return is_sane(kernel.steps, kernel.shapes, {**self._envs[target], "G": groups, **values[target]})
