"""What sampled programs look like. Part of a study file (`search.generation`)."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from kas.language import FAMILIES, OPS, KasError

__all__ = ["GENOME_STEPS", "GenerationSettings"]

GENOME_STEPS = 24  # the longest program that is drawn

_FAMILY_WEIGHTS = {
    "views": 1.8,
    "spatial": 0.8,
    "reductions": 1.2,
    "linear": 5.2,
    "scaling": 0.8,
    "pointwise": 3.0,
    "binary": 2.0,
    "matmul": 0.6,
    "windows": 1.4,
    "products": 0.9,
}

# The weight of an op within its family, where it is not 1. Convolutions are what trains; a mix is rarely fast.
_OP_WEIGHTS = {"group": 2.0, "conv": 6.0, "fc": 2.0, "relu": 5.0, "gelu": 2.0, "sigmoid": 1.5, "add": 3.0, "mul": 2.5}
_OP_WEIGHTS |= {"sub": 1.5, "div": 1.5, "ungroup": 2.0, "window": 1.5, "unwindow": 3.0, "col2im": 1.5, "bmm": 1.5}
_OP_WEIGHTS |= {"filter": 0.36}


@dataclass(frozen=True)
class GenerationSettings:
    """The distribution of sampled programs.

    Args:
        min_steps: Fewest steps that are drawn; closing a program may add a few.
        max_steps: Most steps of a program.
        families: Relative weight of each family of primitives; families left out keep their default
            weight, and one of weight 0 never occurs.
        ops: Relative weight of an op within its family; ops left out keep their default weight.
        allowed: The only ops that occur; all if empty.
        forbidden: Ops that never occur.
        required: Ops that every sampled program has.
        kernel_sizes: Odd sizes of convolutions, unfolds and filters.
        dilations: Dilations of convolutions, unfolds and filters.
        shifts: Distances of shifts, in positions, in either direction.
        receptive_field: Fewest positions along each spatial axis that an output depends on (folds, softmaxes,
            normalisations, products and mixes over an axis reach all of it).
        local: Least share of programs with a convolution, unfold or shift over neighbours; nothing trains well without one.
        branch: Chance that a step reads an earlier tensor again instead of going on from the last one.
        max_width: Most tensors that are open (read by no step yet) at once while steps are drawn: the parallel branches.
        free_widths: Chance that a linear map goes to a free width, which the budget solver sets, rather than to a fixed one.
        min_weighted, max_weighted: Least and greatest share of steps that have weights.
        fixed_size: Whether weights may depend on H or W, which ties a kernel to one resolution.
        max_tensor: Largest tensor inside a kernel, as a multiple of its input.
        multiple_of: Inner widths are rounded down to multiples of this where the budget allows it.
        min_use: A program that cannot use this share of its budget gets a free inner width where it can take one.
    """

    min_steps: int = 3
    max_steps: int = 10
    families: dict[str, float] = field(default_factory=dict)
    ops: dict[str, float] = field(default_factory=dict)
    allowed: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    required: list[str] = field(default_factory=list)
    kernel_sizes: list[int] = field(default_factory=lambda: [3, 5, 7])
    dilations: list[int] = field(default_factory=lambda: [1, 2])
    shifts: list[int] = field(default_factory=lambda: [1, 2])
    receptive_field: int = 1
    local: float = 0.95
    branch: float = 0.2
    max_width: int = 4
    free_widths: float = 0.5
    min_weighted: float = 0.0
    max_weighted: float = 1.0
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
        for name in ("ops", "allowed", "forbidden", "required"):
            _check_names(name, getattr(self, name), OPS)
        for op in self.required:
            if op in self.forbidden or (self.allowed and op not in self.allowed):
                raise KasError(f"required names {op!r}, which is not allowed")
        for name in ("families", "ops"):
            if any(weight < 0 for weight in getattr(self, name).values()):
                raise KasError(f"{name}: a weight must be at least 0")
        if not self.kernel_sizes or any(k < 3 or k % 2 == 0 for k in self.kernel_sizes):
            raise KasError(f"kernel_sizes must be odd numbers of at least 3, not {self.kernel_sizes}")
        for name in ("dilations", "shifts"):
            if not getattr(self, name) or any(n < 1 for n in getattr(self, name)):
                raise KasError(f"{name} must be integers of at least 1, not {getattr(self, name)}")
        for name in ("local", "branch", "free_widths", "min_weighted", "max_weighted", "min_use"):
            if not 0 <= getattr(self, name) <= 1:
                raise KasError(f"{name} is a share between 0 and 1, not {getattr(self, name)}")
        for name in ("max_tensor", "multiple_of", "receptive_field", "max_width"):
            if getattr(self, name) < 1:
                raise KasError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.min_weighted > self.max_weighted:
            raise KasError(f"min_weighted = {self.min_weighted} is over max_weighted = {self.max_weighted}")
        if not self.weights:
            raise KasError("the settings leave no op to draw")

    def permits(self, op: str) -> bool:
        """Whether an op may occur, drawn or to close a program: not if it is forbidden or of weight 0."""
        return op in self.weights

    @cached_property
    def weights(self) -> dict[str, float]:
        """The weight of each op that may be drawn: its share of its family's."""
        families = {**_FAMILY_WEIGHTS, **self.families}
        ops = {**_OP_WEIGHTS, **self.ops}
        excluded = set(self.forbidden) | ({op for op in OPS if op not in self.allowed} if self.allowed else set())
        drawn = {}
        for name, family in FAMILIES.items():
            shares = {primitive.op: ops.get(primitive.op, 1.0) for primitive in family}
            for op, share in shares.items():
                if op not in excluded and share * families[name] > 0:
                    drawn[op] = families[name] * share / sum(shares.values())
        return drawn


def _check_names(what: str, given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KasError(f"{what}: there is no {name!r}{hint} Known are: {', '.join(known)}")
