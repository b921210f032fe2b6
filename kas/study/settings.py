"""The sections of a study file that belong to the search itself: targets, search and objectives (no torch)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kas.generation.settings import GenerationSettings
from kas.language.errors import KasError

__all__ = ["ObjectiveSettings", "SearchSettings", "TargetSettings"]

AdapterChoice = Literal["auto", "copies", "projection"]
NormChoice = Literal["auto", "batch", "layer", "none"]
Rank = Literal[0, 1, 2]


@dataclass(frozen=True)
class TargetSettings:
    """Which layers or blocks are replaced: the arguments of `kas.find_targets`.

    By default the network's Placeholders if it has any, else every convolution with a kernel over 1 that is not
    depthwise and not the stem. Whole blocks (any module that maps one tensor to one tensor, of images, sequences or
    tokens) are chosen by name or type; of nested ones the outermost is replaced.

    Args:
        names: Patterns of module names, as in `layer[34].*.conv2`, or `layer[34].?` for blocks; they override the
            filters below. null: all names.
        types: Classes of layers or blocks, as in [Conv2d] or [BasicBlock]. null: convolutions.
        rank: Only layers of this rank: 2 (images), 1 (sequences) or 0 (linear). null: any.
        min_kernel: Only convolutions whose kernel is at least this large along some axis.
        depthwise: Replace also depthwise convolutions.
        stem: Replace also the first convolution, which reads the network's input.
        adapter: What stands around a kernel where channels differ: copies (or splits) of it, a 1x1 projection to the
            layer's output, or auto: whichever costs less in the study's runtime.
        norm: The norm behind a kernel that replaces a block: batch, layer, none, or auto: the kind that the block held.
    """

    names: list[str] | None = None
    types: list[str] | None = None
    rank: Rank | None = None
    min_kernel: int = 2
    depthwise: bool = False
    stem: bool = False
    adapter: AdapterChoice = "auto"
    norm: NormChoice = "auto"

    def __post_init__(self) -> None:
        for key in ("names", "types"):
            if getattr(self, key) is not None and not getattr(self, key):
                raise KasError(f"{key} is an empty list, which chooses no layer; leave it out for the default layers")
        if self.min_kernel < 1:
            raise KasError(f"min_kernel must be at least 1, not {self.min_kernel}")


@dataclass(frozen=True)
class SearchSettings:
    """How kernels are proposed: known kernels first, then blind samples, then NSGA-II on programs.

    Args:
        population: Kernels that may become parents (a generation).
        seeds: Known kernels (names of `kas.zoo`) evaluated first, in this order. null: well-known ones; []: none.
        mutation: Share of children made by mutation of one parent; the others are spliced from two.
        blind: Share of blind samples among later proposals, which keep the population diverse.
        forbidden_families: Known kernels (names of `kas.zoo`) that are never proposed, nor anything of their families:
            what fuses to the same form.
        generation: What sampled programs look like.
    """

    population: int = 12
    seeds: list[str] | None = None
    mutation: float = 0.7
    blind: float = 0.1
    forbidden_families: list[str] = field(default_factory=list)
    generation: GenerationSettings = field(default_factory=GenerationSettings)

    def __post_init__(self) -> None:
        if self.population < 2:
            raise KasError(f"population must be at least 2, not {self.population}")
        for name in ("mutation", "blind"):
            if not 0 <= getattr(self, name) <= 1:
                raise KasError(f"{name} is a share between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class ObjectiveSettings:
    """The two objectives: a metric of what the network does, such as an accuracy, and a cost to lower.

    Args:
        accuracy: What the first objective is called. accuracy: by the name of its metric, `training.metric`.
        cost: latency: measured on this device, against the original in the same process. work: the analytic
            macs + elementwise/2; then nothing measured decides anything, and a run can be repeated exactly.
    """

    accuracy: str = "accuracy"
    cost: Literal["latency", "work"] = "latency"
