"""What `promote` has found: a result for each kernel, seed and number of epochs, kept in the study's storage (no torch).

A result is one user attribute of the study, JSON text under `kas.promotion.KERNEL.EPOCHS.SEED`, written once when its
training and its test are done, so that workers on every machine see it. The weights are a file of the machine that
trained: `StudyFolder.promoted(kernel, epochs, seed) / "last.ckpt"`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields

import optuna

from kas.language.errors import shown
from kas.reporting import stored
from kas.reporting.parsing import count, counts, decoded, each, fields, is_a, kernel_hash, number, width
from kas.study.attributes import finite

__all__ = ["ORIGINAL", "Promotion", "broken", "chosen", "promotions", "store"]

ORIGINAL = "original"
_PREFIX = "kas.promotion."


@dataclass(frozen=True)
class Promotion:
    """The deployed network, trained with one kernel (or as it was) from one seed.

    kernel: its hash, or "original". seed: of the weights and of the order of the samples. epochs: of the schedule.
    validation, test: the study's metric over these splits after the last epoch; None where the training failed, for the
    `reason`. shape: of one sample, as in [3, 224, 224]. groups, values: the kernel's sizes, {target: {"x0": 16}}. macs,
    params: of what replaces the convolutions, per sample. seconds: of the training. device: where it was trained.

    The network is built again from the study's configuration and this record, then loaded:
    `kas.study.workers.promotion.promoted_network`.
    """

    kernel: str
    seed: int
    epochs: int
    validation: float | None
    test: float | None
    seconds: float
    device: str
    shape: tuple[int, ...]
    groups: int = 1
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    macs: int | None = None
    params: int | None = None
    reason: str | None = None

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(finite(asdict(self)))

    @classmethod
    def from_json(cls, value: object) -> Promotion | None:
        """What `to_json` wrote; keys of a later kas are left out. None for anything else."""
        data = _PROMOTION(value)
        if data is None:
            return None
        known = {one.name: data.get(one.name) for one in dataclass_fields(cls)}
        return cls(**{**known, "shape": tuple(data["shape"])})


def _kernel(value: object) -> str | None:
    return ORIGINAL if value == ORIGINAL else kernel_hash(value)


_PROMOTION = decoded(fields(
    "kernel", "seed", "epochs", "seconds", "device", "shape", "groups", "values",
    kernel=_kernel, seed=count, epochs=count, validation=number, test=number, seconds=number, device=is_a(str), shape=counts,
    groups=width, values=each(each(width)), macs=count, params=count, reason=is_a(str),
))  # fmt: skip


def promotions(study: optuna.Study) -> list[Promotion]:
    """Every stored result, failed ones among them; by kernel (the original first), epochs and seed. None that is broken."""
    found = [Promotion.from_json(value) for key, value in stored.attributes(study).items() if key.startswith(_PREFIX)]
    known = [one for one in found if one is not None]
    return sorted(known, key=lambda one: (one.kernel != ORIGINAL, one.kernel, one.epochs, one.seed))


def broken(study: optuna.Study) -> list[str]:
    """A line for each stored result that is left out, and for whatever else is (`kas.reporting.stored`)."""
    results = {key: value for key, value in stored.attributes(study).items() if key.startswith(_PREFIX)}
    lines = [
        f"{key} is left out: {shown(value)} is no promotion" for key, value in results.items() if _PROMOTION(value) is None
    ]
    return [*stored.broken(study), *lines]


def chosen(found: Iterable[Promotion], kernel: str, direction: str = "maximize") -> Promotion | None:
    """The result of a kernel (or "original") to deploy: that with the best *validation* score; None if there is none.

    direction: in which the metric is better.

    The test score chooses nothing, so it stays an honest estimate. Ties go to the longer schedule, then the first seed.
    """
    candidates = [one for one in found if one.kernel == kernel and one.validation is not None]
    sign = 1.0 if direction == "maximize" else -1.0
    return max(candidates, key=lambda one: (sign * (one.validation or 0.0), one.epochs, -one.seed), default=None)


def store(study: optuna.Study, promotion: Promotion) -> None:
    """Keep a result."""
    study.set_user_attr(f"{_PREFIX}{promotion.kernel}.{promotion.epochs}.{promotion.seed}", promotion.to_json())
