"""What `promote` has found: a result for each kernel, seed and number of epochs, kept in the study's storage (no torch).

A result is one user attribute of the study, JSON text under `kas.promotion.KERNEL.EPOCHS.SEED`, written once when its
training and its test are done, so that workers on every machine see it. The weights are a file of the machine that
trained: `StudyFolder.promoted(kernel, epochs, seed) / "last.ckpt"`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import optuna

from kas.language.errors import KasError
from kas.study.attributes import finite

__all__ = ["ORIGINAL", "Promotion", "chosen", "promotions", "store"]

ORIGINAL = "original"
_PREFIX = "kas.promotion."
_KERNEL = re.compile(rf"[0-9a-f]{{16}}|{ORIGINAL}")


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
    def from_json(cls, text: object) -> Promotion:
        """What `to_json` wrote; keys of a later kas are left out. Raises KasError for anything else."""
        try:
            data = json.loads(text) if isinstance(text, str) else None
            assert isinstance(data, dict)
            found = cls(
                kernel=_kernel(data["kernel"]),
                seed=_count(data["seed"]),
                epochs=_count(data["epochs"]),
                validation=_number(data["validation"]),
                test=_number(data["test"]),
                seconds=float(data["seconds"]),
                device=str(data["device"]),
                shape=tuple(_count(size) for size in data["shape"]),
                groups=_count(data["groups"]),
                values={str(t): {str(x): _count(v) for x, v in values.items()} for t, values in data["values"].items()},
                macs=None if data["macs"] is None else _count(data["macs"]),
                params=None if data["params"] is None else _count(data["params"]),
                reason=None if data["reason"] is None else str(data["reason"]),
            )
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise KasError(f"the storage holds a promotion that kas did not write: {str(text)[:80]} ({error!r})") from None
        return found


def promotions(study: optuna.Study) -> list[Promotion]:
    """Every stored result, failed ones among them; by kernel (the original first), epochs and seed.

    Raises KasError if one is not as kas writes it.
    """
    stored = study.user_attrs
    found = [Promotion.from_json(text) for key, text in stored.items() if key.startswith(_PREFIX)]
    return sorted(found, key=lambda one: (one.kernel != ORIGINAL, one.kernel, one.epochs, one.seed))


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


def _kernel(value: object) -> str:
    if not isinstance(value, str) or not _KERNEL.fullmatch(value):
        raise ValueError(f"{value!r} is no hash of a kernel")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _number(value: object) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise ValueError(f"{value!r} is no number")
