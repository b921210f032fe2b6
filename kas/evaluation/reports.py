"""What a training tells: a report for each epoch, and its result. No torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["EpochReport", "TrainResult"]


@dataclass(frozen=True)
class EpochReport:
    """One epoch: its number from 0, how many there will be, the validation metric (a fraction), mean losses, seconds."""

    epoch: int
    epochs: int
    accuracy: float
    train_loss: float
    val_loss: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    `accuracy` is the metric on the validation data after the last epoch, `best_accuracy` the best of all epochs (too
    good, as the validation data chose it); `seconds` is the time of all epochs, those before a resume included;
    `resumed_from_epoch` is how many epochs were taken from a checkpoint, None if the training began here.
    """

    accuracy: float
    best_accuracy: float
    epochs: int
    seconds: float
    resumed_from_epoch: int | None
    history: tuple[EpochReport, ...]
