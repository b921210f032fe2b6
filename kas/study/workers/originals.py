"""The original networks of a study: what belongs to each, and its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from typing import Any

from torch import nn

from kas.evaluation.data import plain_shape
from kas.evaluation.inputs import Shape
from kas.language import KasError
from kas.replacement import find_targets
from kas.solvers import Target
from kas.study.settings import TargetSettings

__all__ = ["Network", "adopted", "check_shape", "chosen_targets", "replaced_work", "resized", "target_options"]


@dataclass(frozen=True)
class Network:
    """An original network in its initial state, on the CPU, example inputs [N, ...] for it, and its targets."""

    model: nn.Module
    example: Any
    targets: tuple[Target, ...]


def replaced_work(targets: Sequence[Target]) -> float:
    """The work (macs + elementwise/2, per sample) of the original layers: their MACs, as for the solver's budget."""
    return float(sum(target.macs for target in targets))


def resized(shape: Shape, size: int | None) -> Shape:
    if size is None:
        return shape
    if not all(isinstance(side, int) for side in shape):
        raise KasError(f"cost.size is {size}, but batches have several inputs {shape}: leave it out")
    return (shape[0], *(size for _ in shape[1:]))


def check_shape(data: Any, real: Shape) -> None:
    if plain_shape(data.input_shape) != plain_shape(real):
        raise KasError(
            f"{type(data).__name__}.input_shape is {plain_shape(data.input_shape)}, but its samples are {plain_shape(real)}: "
            f"say that, or leave input_shape out"
        )


def adopted(targets: Sequence[Target], stored: Sequence[Target]) -> tuple[Target, ...]:
    prefer = {target.name: target.prefer for target in stored}
    return tuple(replace_fields(target, prefer=prefer.get(target.name, target.prefer)) for target in targets)


def chosen_targets(model: nn.Module, example: Any, settings: TargetSettings) -> list[Target]:
    """The targets of the rank that has most of the work; a kernel has one rank."""
    found = find_targets(model, example, **target_options(settings))
    ranks = {target.rank for target in found}
    rank = max(ranks, key=lambda rank: sum(target.macs for target in found if target.rank == rank))
    return [target for target in found if target.rank == rank]


def target_options(settings: TargetSettings) -> dict[str, Any]:
    """The settings as `find_targets` and `survey` take them."""
    given = asdict(settings)
    return {**given, "adapter": "projection" if settings.adapter == "projection" else "copies"}
