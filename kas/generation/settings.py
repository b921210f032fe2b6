"""What sampled programs look like. Part of a study file (`search.generation`)."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kas.language import FAMILIES, OPS, KasError

__all__ = ["GENOME_STEPS", "GenerationSettings"]

GENOME_STEPS = 24  # the longest program that a study can hold

_FAMILY_WEIGHTS = {
    "views": 1.8,
    "spatial": 0.8,
    "reductions": 1.2,
    "linear": 5.0,
    "scaling": 0.8,
    "pointwise": 3.0,
    "binary": 2.0,
    "matmul": 0.6,
}

# The weight of an op within its family, where it is not 1. Convolutions are what trains; a mix is rarely fast.
_OP_WEIGHTS = {"group": 2.0, "conv": 6.0, "fc": 2.0, "relu": 5.0, "gelu": 2.0, "sigmoid": 1.5, "add": 3.0, "mul": 2.5}


@dataclass(frozen=True)
class GenerationSettings:
    """The distribution of sampled programs.

    Args:
        min_steps: Fewest steps that are drawn; closing a program may add a few.
        max_steps: Most steps of a program.
        families: Relative weight of each family of primitives; families left out keep their default weight.
        forbidden: Ops that never occur.
        required: Ops that every sampled program has.
        kernel_sizes: Odd sizes of convolutions and unfolds.
        dilations: Dilations of convolutions and unfolds.
        shifts: Distances of shifts, in positions, in either direction.
        local: Share of programs that get a convolution or unfold over neighbours; nothing trains well without one.
        branch: Chance that a step reads an earlier tensor again instead of going on from the last one.
        fixed_size: Whether weights may depend on H or W, which ties a kernel to one resolution.
        max_tensor: Largest tensor inside a kernel, as a multiple of its input.
        multiple_of: Inner widths are rounded down to multiples of this where the budget allows it.
        min_use: A program that cannot use this share of its budget gets a free inner width where it can take one.
    """

    min_steps: int = 3
    max_steps: int = 10
    families: dict[str, float] = field(default_factory=dict)
    forbidden: list[str] = field(default_factory=list)
    required: list[str] = field(default_factory=list)
    kernel_sizes: list[int] = field(default_factory=lambda: [3, 5, 7])
    dilations: list[int] = field(default_factory=lambda: [1, 2])
    shifts: list[int] = field(default_factory=lambda: [1, 2])
    local: float = 0.95
    branch: float = 0.2
    fixed_size: bool = False
    max_tensor: float = 16.0
    multiple_of: int = 1
    min_use: float = 0.8

    def __post_init__(self) -> None:
        if not 1 <= self.min_steps <= self.max_steps <= GENOME_STEPS:
            raise KasError(
                f"min_steps and max_steps must satisfy 1 <= min_steps <= max_steps <= {GENOME_STEPS}, "
                f"not {self.min_steps} and {self.max_steps}"
            )
        _check_names("families", self.families, FAMILIES)
        for name in ("forbidden", "required"):
            _check_names(name, getattr(self, name), OPS)
        both = set(self.forbidden) & set(self.required)
        if both:
            raise KasError(f"forbidden and required both name {sorted(both)[0]!r}")
        if any(weight < 0 for weight in self.families.values()):
            raise KasError("families: a weight must be at least 0")
        if not self.kernel_sizes or any(k < 3 or k % 2 == 0 for k in self.kernel_sizes):
            raise KasError(f"kernel_sizes must be odd numbers of at least 3, not {self.kernel_sizes}")
        for name in ("dilations", "shifts"):
            if not getattr(self, name) or any(n < 1 for n in getattr(self, name)):
                raise KasError(f"{name} must be integers of at least 1, not {getattr(self, name)}")
        for name in ("local", "branch", "min_use"):
            if not 0 <= getattr(self, name) <= 1:
                raise KasError(f"{name} is a share between 0 and 1, not {getattr(self, name)}")
        if self.max_tensor < 1:
            raise KasError(f"max_tensor must be at least 1, not {self.max_tensor}")
        if self.multiple_of < 1:
            raise KasError(f"multiple_of must be at least 1, not {self.multiple_of}")
        if not self.ops():
            raise KasError("forbidden and families leave no op to draw")

    def ops(self) -> dict[str, float]:
        """The weight of each op that may be drawn: its share of its family's."""
        weights = {**_FAMILY_WEIGHTS, **self.families}
        drawn = {}
        for name, family in FAMILIES.items():
            shares = {primitive.op: _OP_WEIGHTS.get(primitive.op, 1.0) for primitive in family}
            for op, share in shares.items():
                if op not in self.forbidden and weights[name] > 0:
                    drawn[op] = weights[name] * share / sum(shares.values())
        return drawn


def _check_names(what: str, given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KasError(f"{what}: there is no {name!r}{hint} Known are: {', '.join(known)}")
