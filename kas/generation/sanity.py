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
_SHARING = frozenset(("softmax", "normalize", "matmul", "bmm"))
_SMALL = 3  # a width that the solver may make 1 in another of its solutions


class Sanity:
    """What is expected of kernels at some targets before they are trained."""

    def __init__(self, targets: Sequence[Target]):
        self._largest = max(targets, key=lambda one: prod(one.size))
        self._targets = list(targets)
        self._envs = {target.name: {"C": target.channels, **dict(zip("HW", target.size, strict=False))} for target in targets}

    def holds(self, kernel: Kernel, sizes: Sizes) -> bool:
        """Whether a kernel's output is expected to have a sane scale, to depend on the input, and every weight an effect.

        Judged at the target with the most positions, where means are smallest; and, where something is shared out, at one
        where some width is so small that other sizes may make it and G 1, which leaves a constant. Some 50 microseconds.
        """
        ops = [step.op for step in kernel.steps]
        if _RISKY.isdisjoint(ops):
            return True  # linear maps, sums and rectifiers: the initial weights keep their scale
        values, name = sizes.values, self._largest.name
        if not self._holds_at(name, kernel, sizes.groups, values[name]):
            return False
        if _SHARING.isdisjoint(ops):
            return True
        for target in self._targets:
            widths = values[target.name]
            if min(widths.values(), default=_SMALL + 1) <= _SMALL:
                least = {name: width if width > _SMALL else 1 for name, width in widths.items()}
                return self._holds_at(target.name, kernel, 1, least)
        return True

    def _holds_at(self, target: str, kernel: Kernel, groups: int, values: Mapping[str, int]) -> bool:
        return is_sane(kernel.steps, kernel.shapes, {**self._envs[target], "G": groups, **values})
