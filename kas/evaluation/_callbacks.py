"""What happens around the epochs and batches of a training."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kas.evaluation._lightning import pl
from kas.evaluation.learner import Learner
from kas.evaluation.locks import DeviceLock
from kas.evaluation.outcomes import TimeLimit, TrainingDiverged
from kas.evaluation.reports import EpochReport
from kas.evaluation.worktime import WorkClock
from kas.language.errors import KasError

__all__ = ["Epochs", "SharedDevice", "logged_score", "seed_epoch"]

_LOG = logging.getLogger(__name__)
_CHECK_EVERY = 25  # batches between looks at the loss: each look makes a GPU wait


class SharedDevice(pl.Callback):
    """Holds the device's shared lock during each batch, and counts the seconds spent waiting for it.

    on_batch: called after each batch.
    """

    def __init__(self, lock: DeviceLock | None, on_batch: Callable[[], None] | None = None) -> None:
        self.lock, self.waited = lock, 0.0
        self._on_batch = on_batch

    def _take(self, *_: Any, **__: Any) -> None:
        if self.lock is not None:
            start = time.monotonic()
            self.lock.acquire_shared()
            self.waited += time.monotonic() - start

    def _give(self, *_: Any, **__: Any) -> None:
        if self.lock is not None:
            self.lock.release()

    def _end(self, *_: Any, **__: Any) -> None:
        self._give()
        if self._on_batch is not None:
            self._on_batch()

    on_train_batch_start = _take
    on_train_batch_end = _end
    on_validation_batch_start = _take
    on_validation_batch_end = _end
    on_test_batch_start = _take
    on_test_batch_end = _end
    on_exception = _give


class Epochs(pl.Callback):
    """Seeds, watches, saves and reports each epoch. `history` has one report an epoch, also of those before a resume.

    logged: the name under which a module that is no Learner logs its metric.
    """

    def __init__(
        self,
        *,
        checkpoint: Path,
        seed: int,
        time_limit_s: float | None,
        device: SharedDevice,
        on_epoch: Callable[[EpochReport], None] | None,
        logged: str | None = None,
    ) -> None:
        self.history: list[EpochReport] = []
        self._checkpoint, self._seed, self._on_epoch = checkpoint, seed, on_epoch
        self._time_limit_s, self._device = time_limit_s, device
        self._clock = WorkClock()
        self._logged = logged
        self._losses: list[float] = []  # of a module that is no Learner

    def state_dict(self) -> dict[str, Any]:
        return {"history": [report.to_dict() for report in self.history], "seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [EpochReport(**entry) for entry in state_dict["history"]]

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        seed_epoch(self._seed, trainer.current_epoch)
        self._device.waited = 0.0
        self._losses = []
        self._clock = WorkClock()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not isinstance(pl_module, Learner):
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            self._losses += [] if loss is None else [float(loss)]
        if (batch_idx + 1) % _CHECK_EVERY == 0 or pl_module.device.type == "cpu":
            self._check_loss(trainer, pl_module)
        self._check_time(trainer)

    def on_validation_batch_end(self, trainer: Any, *_: Any) -> None:
        self._check_time(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._check_loss(trainer, pl_module)
        report = EpochReport(
            epoch=trainer.current_epoch,
            epochs=trainer.max_epochs,
            accuracy=self._score(trainer, pl_module),
            train_loss=self._train_loss(pl_module),
            val_loss=pl_module.val_loss if isinstance(pl_module, Learner) else math.nan,
            seconds=self._seconds(),
        )
        if not math.isfinite(report.accuracy):
            raise TrainingDiverged(f"the metric was {report.accuracy} after epoch {report.epoch}")
        self.history.append(report)
        trainer.save_checkpoint(self._checkpoint)
        _LOG.info("epoch %d of %d: accuracy %.4f", report.epoch + 1, report.epochs, report.accuracy)
        if self._on_epoch is not None:
            self._on_epoch(report)

    def _score(self, trainer: Any, module: Any) -> float:
        return module.score() if isinstance(module, Learner) else logged_score(trainer, str(self._logged))

    def _train_loss(self, module: Any) -> float:
        return module.train_loss if isinstance(module, Learner) else sum(self._losses) / max(1, len(self._losses))

    def _check_loss(self, trainer: Any, module: Any) -> None:
        if not math.isfinite(loss := self._train_loss(module)):
            raise TrainingDiverged(f"the training loss was {loss} in epoch {trainer.current_epoch}")

    def _check_time(self, trainer: Any) -> None:
        spent = sum(report.seconds for report in self.history) + self._seconds()
        if self._time_limit_s is not None and spent > self._time_limit_s:
            raise TimeLimit(
                f"the training was in epoch {trainer.current_epoch} of {trainer.max_epochs} "
                f"after training.time_limit_s = {self._time_limit_s:g} s of its own work"
            )

    def _seconds(self) -> float:
        """Seconds of own work in this epoch, the wait for the device not counted."""
        return max(0.0, self._clock.seconds() - self._device.waited)


def logged_score(trainer: Any, name: str) -> float:
    """What a LightningModule of the user's logged; in a test, `test` takes the place of `val` in the name.

    Raises KasError, with what it did log, if that is not among it.
    """
    logged = trainer.callback_metrics
    name = name if name in logged else name.replace("val", "test")
    if name not in logged:
        known = ", ".join(logged) or "nothing"
        raise KasError(f"training.metric is {name!r}, which the LightningModule does not log for an epoch; it logs {known}")
    return float(logged[name])


def seed_epoch(seed: int, epoch: int) -> None:
    """Seeds the global generators of torch and numpy for an epoch, so that one done again is the same."""
    torch_seed, numpy_seed = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint32)
    torch.manual_seed(int(torch_seed))
    np.random.seed(int(numpy_seed))  # for the data modules of users; ours take no global state
