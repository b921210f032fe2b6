"""What a study file's values come to in its sampler: its seeds, how children are made, and what it draws."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import optuna
from effect_observations import Observe, bench, config
from kernel_facts import attributes

from kas import zoo
from kas.generation.fitting import Drawn
from kas.generation.reach import receptive_field
from kas.language import OPS, Kernel
from kas.study import breeding
from kas.study.config import StudyConfig
from kas.study.sampler import KernelSampler
from kas.study.workers.seeding import study_sampler


def sampler(look: Callable[[KernelSampler], Any]) -> Observe:
    """The sampler of a study."""

    def observe(config: StudyConfig, folder: Path) -> Any:
        place = _bench(json.dumps(config.model.args))
        place.config = config
        return look(study_sampler(config, place)[0])

    return observe


@cache
def _bench(width: str) -> Any:
    """One for all searches in a network: nothing else of it depends on how kernels are proposed."""
    return bench(config({"model.args": json.loads(width)}), Path("unused"))


def kinds(sampler: KernelSampler) -> set[str]:
    """How children are made of four parents."""
    made: set[str] = set()

    def maker(name: str) -> Callable[..., Kernel]:
        return lambda *_: made.add(name) or zoo.get("ghost")

    parents: Any = [(breeding.Bred(zoo.get("grouped3x3"), (0,)), (0, 0.0))] * 4
    with (
        patch.object(breeding, "mutate", maker("mutation")),
        patch.object(breeding, "crossover", maker("crossover")),
        patch.object(sampler.source, "draw", maker("blind")),
    ):
        for number in range(20):
            sampler._breeder(tuple(OPS)).child(parents, np.random.default_rng(number))
    return made


def generations(sampler: KernelSampler) -> list[int]:
    """The generation of each of six trials."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(6):
        study.tell(study.ask(), (0.5, 0.5))
    return [trial.system_attrs["kas.KernelSampler:generation"] for trial in study.trials]


def proposed(sampler: KernelSampler) -> bool:
    """Whether a kernel of the family of `conv3x3` is ever proposed where nearly everything is one."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    family = zoo.get("conv3x3").family
    kernels = []
    for _ in range(5):
        trial = study.ask()
        kernels.append(sampler.suggest(trial))
        study.tell(trial, (0.5, 0.5))
    return any(kernel.family == family for kernel in kernels)


def draws(look: Callable[[Sequence[Drawn]], Any], count: int = 25) -> Observe:
    """What is drawn blindly."""
    return sampler(lambda sampler: look(list(sampler.source.stream(0, most=count))))


def every(holds: Callable[[Kernel], bool], count: int = 25) -> Observe:
    """Whether something holds for all kernels that are drawn."""
    return draws(lambda drawn: all(holds(one.kernel) for one in drawn), count)


def reach(kernel: Kernel) -> float:
    return receptive_field(kernel.steps, kernel.shapes, len(kernel.steps), 2)


def widths(drawn: Sequence[Drawn]) -> set[int]:
    """What the free widths of at least 4 leave when they are divided by 4."""
    numbers = [value for one in drawn for sizes in one.sizes.values.values() for value in sizes.values()]
    assert numbers
    return {value % 4 for value in numbers if value >= 4}


def largest(kernel: Kernel) -> float:
    """The largest tensor in inputs, with free widths of a quarter of 64 channels at 16 x 16."""
    free = {name for shape in kernel.shapes for name in shape.product.variables} - {"C", "G", "H", "W"}
    sizes = {"C": 64, "G": 1, "H": 16, "W": 16, **dict.fromkeys(free, 16)}
    return max(float(shape.product.rational(sizes)) for shape in kernel.shapes) / (64 * 256)


def use(drawn: Sequence[Drawn]) -> bool:
    """Whether all kernels use most of the budget."""
    return all(max(one.sizes.use.values()) >= 0.75 for one in drawn)


def first(sampler: KernelSampler) -> list[str]:
    """The first kernels of a search without seeds."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    return [sampler.suggest(study.ask()).hash]


def union(name: str) -> Observe:
    """The values of an attribute of the steps that read neighbours, without those along axes that they do not read."""
    return draws(lambda drawn: {abs(value) for one in drawn for value in attributes(one.kernel, name)} - {1})


SEEDS = sampler(lambda sampler: [kernel.hash for kernel in sampler.seeds])
