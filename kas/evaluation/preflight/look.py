"""One real batch of each loader through the original and a replaced network: forward, loss, backward, metric."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from kas.evaluation.batches import Batch
from kas.evaluation.health import loss_of
from kas.evaluation.inputs import call, fitted, head, sample_shape
from kas.evaluation.metrics import Measure
from kas.evaluation.preflight.splits import Split, read_split
from kas.evaluation.tasks import OwnModule, Task
from kas.evaluation.tasks.custom import Custom
from kas.language.errors import KasError
from kas.replacement.copying import cloned, copied
from kas.replacement.example import first_tensor
from kas.replacement.frames import user_frames

__all__ = ["Findings", "look"]

_FEW = 32  # samples in a pass
_SECONDS = 2.0  # for each split


@dataclass(frozen=True)
class Findings:
    """What was understood: lines for people; the metric; what a constant answer gets, if that can be said."""

    lines: Sequence[str]
    measure: Measure
    constant: float | None


def look(original: nn.Module, replaced: nn.Module, data: Any, first: Batch, task: Task) -> Findings:
    """Run a batch of each loader through copies of both networks; `first` is that of training.

    Raises KasError, in one sentence, for whatever would fail in a training or mean nothing.
    """
    few = Batch(*(head(part, _FEW) for part in first))
    changes = _trains("the original network", original, few, task)
    _trains("the network with a kernel in its layers' places", replaced, few, task)
    _validates(original, task.batches.first(data, "val"), task)
    custom, measure = isinstance(task, Custom), task.measure()
    train, val = (read_split(data, split, task, _SECONDS, custom) for split in ("train", "val"))
    if train.last == 1:
        for what, network in (("the original network", original), ("a replaced network", replaced)):
            _takes_one(what, network, head(few.inputs, 1))
    targets = [] if custom else [_joined(split) for split in (train, val)]
    for found in targets:
        if hasattr(task, "check_labels"):
            task.check_labels(found)
    constant = None if custom else _constant(task, measure, *targets)
    return Findings(_lines(task, measure, first, train, val, targets, constant, changes), measure, constant)


def _trains(what: str, network: nn.Module, batch: Batch, task: Task) -> bool:
    """One step in training mode; whether the network changes its input in place."""
    network = copied(network).train()
    given = fitted(cloned(batch.inputs), network)
    before = cloned(given)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        returned = _called(what, network, given, batch.inputs)
        output = task.output(returned)
        try:
            loss = loss_of(network, task, batch, output)
        except KasError:
            raise
        except Exception as error:
            raise KasError(
                f"the loss ({task.settings.loss or task.default_loss or 'of the module'}) does not take an output "
                f"{list(output.shape)} and targets {list(batch.targets.shape)} {str(batch.targets.dtype)[6:]}: {error}"
                f"{user_frames(error)}"
            ) from error
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            shape = list(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise KasError(f"the loss of a batch is one number; this one is {shape}: let it take the mean")
        if not bool(torch.isfinite(loss)):
            value = float(loss.detach())
            raise KasError(
                f"the loss of the first batch is {value} for {what}: look at inputs, targets and the loss's arguments"
            )
        if not loss.requires_grad and any(parameter.requires_grad for parameter in network.parameters()):
            raise KasError(f"no gradient goes from the loss to {what}: look for detach, item, argmax or no_grad in its forward")
        if loss.requires_grad:
            try:
                loss.backward()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise KasError(f"{what} has no backward pass: {error}{user_frames(error)}") from error
    same = _pytree.tree_leaves(_pytree.tree_map(lambda one, other: bool(torch.equal(one, other)), before, given))
    return not all(same)


def _called(what: str, network: nn.Module, given: Any, inputs: Any) -> Any:
    try:
        return call(network, given)
    except Exception as error:
        if _needs_two(error):
            raise KasError(_two(what)) from error
        reason = f": {type(error).__name__}: {error}"
        raise KasError(f"{what} does not run on inputs {sample_shape(inputs)}{reason}{user_frames(error)}") from error


def _needs_two(error: Exception) -> bool:
    return isinstance(error, ValueError) and "more than 1 value per channel" in str(error)


def _two(what: str) -> str:
    return (
        f"a training batch has one sample, and {what} has a BatchNorm that needs two: choose another batch size, or drop the "
        f"last batch (DataLoader(..., drop_last=True))"
    )


def _takes_one(what: str, network: nn.Module, inputs: Any) -> None:
    network = copied(network).train()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        _called(what, network, fitted(cloned(inputs), network), inputs)


def _validates(network: nn.Module, batch: Batch, task: Task) -> None:
    network = copied(network).eval()
    few = Batch(*(head(part, _FEW) for part in batch))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        output = task.output(
            _called("the original network, on a validation batch,", network, fitted(few.inputs, network), few.inputs)
        )
        if isinstance(task, OwnModule):
            return
        task.check(output, few.targets)
        measure = task.measure()
        assert measure.metric is not None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of so few samples
                measure.metric.update(task.predictions(output), task.for_metric(few.targets))
                found = measure.metric.compute()
        except Exception as error:
            raise KasError(
                f"the metric ({measure.name}) does not take an output {list(output.shape)} and targets "
                f"{list(few.targets.shape)}: {error}{user_frames(error)}"
            ) from error
        if torch.as_tensor(found).numel() != 1:
            raise KasError(f"the metric ({measure.name}) gives {torch.as_tensor(found).numel()} numbers; one is expected")


def _joined(split: Split) -> Tensor:
    return torch.cat(split.targets) if len({target.shape[1:] for target in split.targets}) == 1 else split.targets[0]


def _constant(task: Task, measure: Measure, train: Tensor, val: Tensor) -> float | None:
    """What the constant answer that the training targets suggest gets on the validation targets."""
    assert measure.metric is not None
    answer = task.constant(train)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a constant has no variance
            metric = measure.metric.clone()
            for targets in torch.split(val, 1024):
                metric.update(answer.expand(_shape(answer, targets)), targets)
            found = float(metric.compute())
    except (RuntimeError, ValueError):  # some metrics want more than one value
        return None
    return found if found == found else None


def _shape(answer: Tensor, targets: Tensor) -> tuple[int, ...]:
    """The shape of predictions for targets: theirs, or, of classes, with an axis of classes behind the samples."""
    if answer.ndim == targets.ndim:
        return tuple(targets.shape)
    return (len(targets), answer.shape[1], *targets.shape[1:])


def _lines(
    task: Task,
    measure: Measure,
    first: Batch,
    train: Split,
    val: Split,
    targets: Sequence[Tensor],
    constant: float | None,
    changes: bool,
) -> list[str]:
    inputs, dtype = sample_shape(first.inputs), str(first_tensor(first.inputs).dtype).removeprefix("torch.")
    overlap = len(train.marks & val.marks)
    repeated = f"; {overlap:,} validation samples are also among those of training" if overlap else ""
    shown = None if constant is None else f"{100 * constant:.1f} %" if measure.share else f"{constant:.4g}"
    better = "higher" if measure.direction == "maximize" else "lower"
    loss = task.settings.loss or task.default_loss or "the module's own"
    lines = [
        f"inputs: {_shape_text(inputs)} {dtype}, from {train.low:.4g} to {train.high:.4g}",
        f"samples: {train.size} to train, {val.size} to validate{repeated}",
        f"task: {task.name}, loss {loss}, metric {measure.name} ({better} is better)",
    ]
    if targets:
        lines.insert(2, f"targets: {task.describe(targets[0])}")
    if shown is not None:
        lines.append(f"a constant answer gets {measure.name} {shown} on the validation samples")
    if changes:
        lines.append("the network changes its input in place: it is given a copy where that matters")
    return lines


def _shape_text(shape: Any) -> str:
    if isinstance(shape, dict):
        return ", ".join(f"{name} {_shape_text(one)}" for name, one in shape.items())
    if shape and not isinstance(shape[0], int):
        return " and ".join(_shape_text(one) for one in shape)
    return "x".join(map(str, shape)) or "one number"
