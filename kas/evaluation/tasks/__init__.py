"""Tasks: what is learned, a file each. A task is named in the study file, or guessed from one real batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kas.evaluation.batches import Batches
from kas.evaluation.outputs import output_of
from kas.evaluation.settings import TrainingSettings
from kas.evaluation.tasks._base import Task
from kas.evaluation.tasks.classification import Classification
from kas.evaluation.tasks.custom import Custom, OwnModule, trains_itself
from kas.evaluation.tasks.multilabel import MultiLabel
from kas.evaluation.tasks.regression import Regression
from kas.evaluation.tasks.segmentation import Segmentation
from kas.language.errors import KasError

__all__ = ["TASKS", "OwnModule", "Task", "make_task", "trains_itself"]

_ORDER = (Classification, Segmentation, MultiLabel, Regression)  # in which a batch is compared with them
TASKS: dict[str, type[Task]] = {task.name: task for task in (*_ORDER, Custom)}


def make_task(
    name: str,
    model: nn.Module,
    returned: Any,
    targets: Tensor,
    settings: TrainingSettings,
    batches: Batches | None = None,
    key: str | None = None,
) -> Task:
    """The task of a name, or (`auto`) the one that a batch looks like; `returned` is what the network returned for it.

    batches, key: `data.batch` and `model.output`. Raises KasError if the targets fit no task, or not the named one, and for
    labels outside of the classes.
    """
    batches = batches or Batches()
    if trains_itself(model):
        if name not in ("auto", "custom"):
            raise KasError(
                f"task is {name}, but {type(model).__name__} is a LightningModule, which trains itself: task: custom"
            )
        return OwnModule(settings, 1, batches, key)
    output = output_of(returned, key)
    if output.ndim < 1:
        raise KasError("the network returns a single number for a whole batch; [N, ...] is expected")
    width = int(output.shape[1]) if output.ndim > 1 else 1
    kind = _guess(output, targets) if name == "auto" else TASKS[name]
    task = kind(settings, width, batches, key)
    task.check(output, targets)
    return task


def _guess(output: Tensor, targets: Tensor) -> type[Task]:
    found = next((task for task in _ORDER if task.fits(output, targets)), None)
    if found is not None:
        return found
    dtype, values = str(targets.dtype).removeprefix("torch."), targets.float()
    known = "; ".join(f"{task.name}: {task.wants}" for task in _ORDER)
    raise KasError(
        f"targets {list(targets.shape)} {dtype}, from {float(values.min()):.4g} to {float(values.max()):.4g}, fit no task for "
        f"an output {list(output.shape)} ({known}). Give the network as many outputs as there are classes or numbers, or "
        f"change the targets; task: custom takes a loss and a metric of your own"
    )
