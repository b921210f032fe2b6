"""What may end a training or a measurement without a result. Each is recorded as a trial's outcome. No torch here."""

from __future__ import annotations

from kas.language.errors import KasError

__all__ = ["OutOfMemory", "TimeLimit", "TrainingDiverged"]


class TrainingDiverged(KasError):
    """The training loss became NaN or infinite. The message names the epoch."""


class OutOfMemory(KasError):
    """The device (or the host) had not enough memory for the network and the batch."""

    exit_code = 1


class TimeLimit(KasError):
    """A training took more than `training.time_limit_s` of its own work."""
