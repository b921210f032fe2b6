"""Training a network with Lightning: seeded, quiet, and never losing more than the epoch that was interrupted."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kas.evaluation._callbacks import Epochs, SharedDevice, logged_score, seed_epoch
from kas.evaluation._lightning import pl, quiet
from kas.evaluation.batches import Batch, Batches, loader_of
from kas.evaluation.checkpoints import AtomicCheckpoints, read_checkpoint
from kas.evaluation.data._base import ClassificationData
from kas.evaluation.devices import check_precision, lightning_accelerator, resolve_device
from kas.evaluation.failures import memory_errors
from kas.evaluation.inputs import fitted, head
from kas.evaluation.learner import Learner
from kas.evaluation.locks import DeviceLock
from kas.evaluation.reports import EpochReport, TrainResult
from kas.evaluation.settings import TrainingSettings
from kas.evaluation.tasks import OwnModule, Task, make_task
from kas.language.errors import KasError
from kas.replacement.copying import cloned, copied
from kas.replacement.running import run

__all__ = ["CHECKPOINT", "EpochReport", "TrainResult", "named_task", "score_on_test", "train"]

CHECKPOINT = "last.ckpt"
_FEW = 32  # samples that show what a task is
_LOG = logging.getLogger(__name__)


def train(
    model: nn.Module,
    data: Any,
    settings: TrainingSettings,
    *,
    folder: Path | str,
    seed: int = 0,
    device: str = "auto",
    lock: DeviceLock | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_batch: Callable[[], None] | None = None,
    progress: bool = False,
    task: Task | None = None,
) -> TrainResult:
    """Train `model` in place on `data` (a data module of `make_data`), and return its score on the validation data.

    task: what is learned; None: guessed from a batch.

    After each epoch `folder/last.ckpt` is written; if it is there at the start, training goes on after its last epoch.
    The order of the samples, augmentation and dropout follow from (seed, epoch) alone; weights are taken as they come.
    `lock` is held (shared) during each batch. `on_epoch` is called after each epoch has been saved; what it raises ends
    the training and passes through. `on_batch` is called after each batch. `progress` shows Lightning's progress bar.

    Raises TrainingDiverged (the loss is not finite), OutOfMemory, TimeLimit (`settings.time_limit_s` of own work are over, see
    `kas.evaluation.worktime`), and KasError if the device is not there or has not the precision, or the checkpoint is of
    another network; a damaged one is kept as `last.damaged`, and the training starts anew. Ctrl-C is KeyboardInterrupt.
    """
    checkpoint = Path(folder).absolute() / CHECKPOINT
    where = resolve_device(device)
    check_precision(where, settings.precision)
    task = replace(task, settings=settings) if task is not None else _guessed(model, data, settings)
    module, prefix = _module(model, settings, task)
    resumed = _resume_point(checkpoint, module, settings, prefix)
    shared = SharedDevice(lock, on_batch)
    epochs = Epochs(
        checkpoint=checkpoint,
        seed=seed,
        time_limit_s=settings.time_limit_s,
        device=shared,
        on_epoch=on_epoch,
        logged=settings.metric,
    )
    with quiet(), memory_errors("training"), _plain_interrupt(), _lent(data, seed):
        trainer = _trainer(where, settings, [shared, epochs], progress, prefix)
        seed_epoch(seed, resumed or 0)
        model.train()
        trainer.fit(module, datamodule=data, ckpt_path=None if resumed is None else str(checkpoint))
    return _result(epochs.history, resumed, task.measure().direction)


def named_task(
    name: str, model: nn.Module, batch: Batch, settings: TrainingSettings, batches: Batches, output: str | None = None
) -> Task:
    """The task of a name, or (`auto`) the one that a training batch looks like: a few of its samples are run.

    output: `model.output`. Raises KasError as `make_task`.
    """
    few = Batch(*(head(part, _FEW) for part in batch))
    returned = run(copied(model).eval(), fitted(cloned(few.inputs), model))
    return make_task(name, model, returned, few.targets, settings, batches, output)


def _guessed(model: nn.Module, data: Any, settings: TrainingSettings) -> Task:
    batches = Batches()
    return named_task("auto", model, batches.first(data, "train"), settings, batches).balanced(data)


def score_on_test(
    model: nn.Module,
    data: Any,
    settings: TrainingSettings,
    *,
    device: str = "auto",
    lock: DeviceLock | None = None,
    on_batch: Callable[[], None] | None = None,
    task: Task | None = None,
) -> float:
    """The metric of a trained `model` over the test split of `data` (its `test_dataloader`).

    `lock` is held (shared) during each batch, `on_batch` called after it. Raises OutOfMemory, and KasError if the device
    is not there.
    """
    where = resolve_device(device)
    task = replace(task, settings=settings) if task is not None else _guessed(model, data, settings)
    module, _ = _module(model, settings, task)
    with quiet(), memory_errors("testing"), _plain_interrupt(), _lent(data, 0):
        trainer = _trainer(where, settings, [SharedDevice(lock, on_batch)], progress=False)
        if isinstance(module, Learner) or type(module).test_step is not pl.LightningModule.test_step:
            trainer.test(module, datamodule=data, verbose=False)
        else:  # a module of the user's that validates alone
            trainer.validate(module, dataloaders=loader_of(data, "test"), verbose=False)
    return module.score() if isinstance(module, Learner) else logged_score(trainer, str(settings.metric))


def _module(model: nn.Module, settings: TrainingSettings, task: Task) -> tuple[pl.LightningModule, str]:
    """What Lightning trains, and what the names of its weights lack in a checkpoint: a module of the user's trains itself."""
    if isinstance(task, OwnModule):
        assert isinstance(model, pl.LightningModule)
        task.measure()
        return model, "model."
    return Learner(model, settings, task), ""


def _trainer(
    where: torch.device, settings: TrainingSettings, callbacks: list[pl.Callback], progress: bool, prefix: str = ""
) -> pl.Trainer:
    return pl.Trainer(
        **lightning_accelerator(where),
        max_epochs=settings.epochs,
        precision=settings.precision,
        gradient_clip_val=None if prefix else settings.gradient_clip or None,  # a module that trains itself clips itself
        callbacks=callbacks,
        plugins=[AtomicCheckpoints(prefix)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        num_sanity_val_steps=0,
        benchmark=False,
    )


def _resume_point(checkpoint: Path, module: pl.LightningModule, settings: TrainingSettings, prefix: str) -> int | None:
    """How many epochs the checkpoint has done; None if there is none. KasError if it does not fit the network.

    One that cannot be read is kept aside, and the training starts anew.
    """
    if not checkpoint.is_file():
        return None
    try:
        loaded = read_checkpoint(checkpoint)
        done = len(loaded["callbacks"][Epochs.__qualname__]["history"])
    except (KasError, KeyError, TypeError) as error:
        aside = checkpoint.with_suffix(".damaged")
        checkpoint.replace(aside)
        _LOG.warning("starts anew, as its checkpoint is damaged (now %s): %s", aside, str(error).splitlines()[0])
        return None
    saved, own = loaded.get("state_dict", {}), module.state_dict()
    if {key: value.shape for key, value in saved.items()} != {prefix + key: value.shape for key, value in own.items()}:
        raise KasError(f"{checkpoint} is of another network than the one to train; remove it to train from the start")
    if done > settings.epochs:
        raise KasError(f"{checkpoint} has {done} epochs, but training.epochs is {settings.epochs}")
    _LOG.info("goes on from epoch %d of %d (%s)", done, settings.epochs, checkpoint)
    return done


def _result(history: list[EpochReport], resumed: int | None, direction: str) -> TrainResult:
    if not history:
        raise KasError("the training ended without an epoch: the data module has no training batches")
    return TrainResult(
        accuracy=history[-1].accuracy,
        best_accuracy=(max if direction == "maximize" else min)(report.accuracy for report in history),
        epochs=len(history),
        seconds=sum(report.seconds for report in history),
        resumed_from_epoch=resumed,
        history=tuple(history),
    )


@contextmanager
def _lent(data: Any, seed: int) -> Iterator[None]:
    """Gives a data module the seed for one training; it ends up as it was, so what it yields later has no history."""
    own = isinstance(data, ClassificationData)
    before = data.seed if own else None
    try:
        if own:
            data.seed = seed
        yield
    finally:
        data.trainer = None
        if own:
            data.seed = before


@contextmanager
def _plain_interrupt() -> Iterator[None]:
    """Lightning turns Ctrl-C into sys.exit(1) and ignores further ones; here it stays a KeyboardInterrupt."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)
