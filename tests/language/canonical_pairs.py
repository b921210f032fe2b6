"""The pairs of programs in `pairs/*.yaml`, and what they compute, in float64 by the plain lowering.

    - why: a square has no sign
      first: fc to=C; neg; sqr
      second: fc to=C; abs; sqr
      weights: {1: {of: 1, factor: -1, shape: "G,C/G,C", order: "1,0,2"}}

Programs are the short spellings of `short_programs`. `weights`: for each weighted step of the second program whose weight it is
(a step of the first), times which factor, and in which order of which axes; by default the weights of the first in the order of
the steps. A weight of the second that is not named can have no effect, and is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import yaml
from short_programs import program
from torch import Tensor

from kas.language import Dim, Kernel, environment
from kas.lowering import build

FOLDER = Path(__file__).parent / "pairs"
KINDS = ("alike", "apart", "family")
Weights = dict[int, Tensor]


@dataclass(frozen=True)
class Scale:
    """Channels, groups, size and value of every free variable at which a pair is computed."""

    channels: int = 12
    groups: int = 2
    size: tuple[int, ...] = (5, 7)
    free: int = 3
    batch: int = 2

    def values(self, kernel: Kernel) -> dict[str, int]:
        """The value of each free variable."""
        return dict.fromkeys(kernel.variables, self.free)

    def environment(self, kernel: Kernel) -> dict[str, int]:
        """The value of each symbol."""
        return dict(environment(kernel, self.channels, self.size[: kernel.rank], self.groups, self.values(kernel)))


LARGE = Scale()
SMALL = Scale(channels=2, size=(3, 4), batch=6)
GROUPED = Scale(channels=4, size=(3, 4), batch=4)


@dataclass(frozen=True)
class Pair:
    """Two programs, and how the weights of the second follow from those of the first."""

    kind: str
    why: str
    first: Kernel
    second: Kernel
    weights: dict[int, dict[str, Any]] = field(default_factory=dict)
    both_ways: bool = True


def pairs(kind: str) -> list[Pair]:
    """The pairs of a file: "alike", "apart" or "family"."""
    rows = yaml.safe_load((FOLDER / f"{kind}.yaml").read_text(encoding="utf-8"))
    return [
        Pair(
            kind,
            row["why"],
            _kernel(row["first"]),
            _kernel(row["second"]),
            row.get("weights", {}),
            row.get("both_ways", True),
        )
        for row in rows
    ]


def _kernel(text: str) -> Kernel:
    return program(*[step.strip() for step in text.split(";")])


def weighted_steps(kernel: Kernel) -> list[int]:
    """The numbers of the steps with a weight."""
    return [i for i, outcome in enumerate(kernel.outcomes, 1) if outcome.weight is not None]


def draw_input(scale: Scale, rank: int = 2, seed: int = 0) -> Tensor:
    """A random input [N, C, H, W]."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randn(scale.batch, scale.channels, *scale.size[:rank], generator=generator, dtype=torch.float64)


def draw_weights(kernel: Kernel, scale: Scale = LARGE, seed: int = 0) -> Weights:
    """A random weight for each weighted step; scales are positive, as a normalisation forgets their sign."""
    generator = torch.Generator().manual_seed(seed)
    env = scale.environment(kernel)
    weights = {}
    for i in weighted_steps(kernel):
        dims = kernel.outcomes[i - 1].weight or ()
        shape = [dim.value(env) for dim in dims]
        weight = torch.randn(shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5
        weights[i] = weight.abs() + 0.2 if kernel.steps[i - 1].op == "scale" else weight
    return weights


def run(kernel: Kernel, x: Tensor, weights: Weights, scale: Scale = LARGE) -> Tensor:
    """The output of a kernel [N, C, H, W] with given weights."""
    module = _module(kernel, scale)
    named = dict(zip([name for name, _ in module.named_parameters()], weights.values(), strict=True))
    shaped = {name: weight.reshape(module.get_parameter(name).shape) for name, weight in named.items()}
    result: Tensor = torch.func.functional_call(module, shaped, (x,))
    return result


_MODULES: dict[tuple[str, Scale], torch.nn.Module] = {}


def _module(kernel: Kernel, scale: Scale) -> torch.nn.Module:
    key = (kernel.to_json(), scale)
    if key not in _MODULES:
        size = scale.size[: kernel.rank]
        made = build(
            kernel, channels=scale.channels, size=size, groups=scale.groups, values=scale.values(kernel), lowering="plain"
        )
        _MODULES[key] = made.double()
    return _MODULES[key]


def carried(pair: Pair, weights: Weights, scale: Scale = LARGE) -> Weights:
    """The weights of the first program as those of the second."""
    mine = weighted_steps(pair.second)
    named = pair.weights or {i: {"of": j} for i, j in zip(mine, weights, strict=True)}
    env = scale.environment(pair.first) | scale.environment(pair.second)
    result = draw_weights(pair.second, scale, seed=1)
    for i, how in named.items():
        weight = weights[how["of"]]
        if "shape" in how:
            weight = weight.reshape([Dim.of(text).value(env) for text in str(how["shape"]).split(",")])
            weight = weight.permute([int(place) for place in how["order"].split(",")])
        result[i] = (weight * float(Fraction(str(how.get("factor", 1))))).reshape(result[i].shape)
    return result


def difference(one: Tensor, two: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((one - two).abs().max() / one.abs().max().clamp(min=1e-12))


def pair_difference(pair: Pair, seed: int = 0) -> float:
    """The largest difference of the outputs of both programs under the bijection of weights."""
    x, weights = draw_input(LARGE, pair.first.rank, seed), draw_weights(pair.first, LARGE, seed)
    return difference(run(pair.first, x, weights), run(pair.second, x, carried(pair, weights)))


def fitted_difference(teacher: Kernel, student: Kernel, tries: int = 4, rounds: int = 60) -> float:
    """How closely a kernel can compute what another does: the largest difference left by the best of some fits.

    Levenberg and Marquardt's method over all weights of the student, from random weights.
    """
    scale = GROUPED if teacher.uses_groups or student.uses_groups else SMALL
    x = draw_input(scale, teacher.rank)
    target = run(teacher, x, draw_weights(teacher, scale), scale)
    best = float("inf")
    for seed in range(tries):
        start = draw_weights(student, scale, seed + 7)
        best = min(best, difference(target, _fitted(student, x, target, start, scale, rounds)))
        if best < 1e-9:
            break
    return best


def _fitted(kernel: Kernel, x: Tensor, target: Tensor, start: Weights, scale: Scale, rounds: int) -> Tensor:
    if not start:
        return run(kernel, x, start, scale)
    shapes = {i: weight.shape for i, weight in start.items()}
    sizes = [weight.numel() for weight in start.values()]

    @torch.no_grad()
    def outputs(flat: Tensor) -> Tensor:
        parts = flat.split(sizes)
        weights = {i: part.reshape(shape) for (i, shape), part in zip(shapes.items(), parts, strict=True)}
        return run(kernel, x, weights, scale).flatten()

    flat = torch.cat([weight.flatten() for weight in start.values()])
    wanted, damping = target.flatten(), 1e-2
    rest = wanted - outputs(flat)
    for _ in range(rounds):
        jacobian = _jacobian(outputs, flat)
        square = jacobian.T @ jacobian
        step = torch.linalg.solve(square + damping * torch.eye(len(flat)).double(), jacobian.T @ rest)
        after = wanted - outputs(flat + step)
        if after.square().sum() < rest.square().sum():
            flat, rest, damping = flat + step, after, max(damping / 10, 1e-15)
        else:
            damping *= 10
        if float(rest.abs().max()) < 1e-13:
            break
    return outputs(flat).reshape(target.shape)


def _jacobian(outputs: Callable[[Tensor], Tensor], flat: Tensor, step: float = 1e-4) -> Tensor:
    """Central differences [outputs, weights]: exact but for rounding where outputs are quadratic in each weight."""
    columns = []
    for place in range(len(flat)):
        moved = torch.zeros_like(flat)
        moved[place] = step
        columns.append((outputs(flat + moved) - outputs(flat - moved)) / (2 * step))
    return torch.stack(columns, 1)
