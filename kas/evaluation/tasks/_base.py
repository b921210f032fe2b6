"""What a task is: how targets and outputs belong together, the loss, the metric, what a constant answer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from kas.evaluation.batches import Batches, loader_of, repeatable
from kas.evaluation.losses import make_loss
from kas.evaluation.metrics import Measure, make_measure
from kas.evaluation.outputs import output_of
from kas.evaluation.settings import TrainingSettings
from kas.language.errors import KasError

__all__ = ["Task"]


@dataclass
class Task(ABC):
    """A network's output [N, width, ...] against its targets.

    Attributes: `width` (classes, labels or numbers of an output); `weights` of the classes in the loss, where they were
    counted (`balanced`); `name`, as in a study file; `default_loss`, a class of torch.nn; `default_metric`, of torchmetrics;
    `wants`: what targets are, in words, for messages.
    """

    settings: TrainingSettings
    width: int
    batches: Batches = field(default_factory=Batches)
    key: str | None = None  # model.output
    weights: list[float] | None = None

    name: ClassVar[str]
    default_loss: ClassVar[str]
    default_metric: ClassVar[str]
    wants: ClassVar[str]

    @classmethod
    @abstractmethod
    def fits(cls, output: Tensor, targets: Tensor) -> bool:
        """Whether a real batch looks like this task."""

    @property
    @abstractmethod
    def family(self) -> str:
        """What torchmetrics puts before the names of this task's metrics."""

    def output(self, returned: Any) -> Tensor:
        """The output that is trained, in float32, of what a network returned. Raises KasError as `output_of`."""
        return output_of(returned, self.key).float()

    @abstractmethod
    def for_loss(self, targets: Tensor, output: Tensor) -> Tensor:
        """The targets as the loss takes them."""

    @abstractmethod
    def for_metric(self, targets: Tensor) -> Tensor:
        """The targets as the metric takes them."""

    def predictions(self, output: Tensor) -> Tensor:
        """The output as the metric takes it."""
        return output

    @abstractmethod
    def constant(self, targets: Tensor) -> Tensor:
        """The constant answer [1, width, ...] that these targets, as the metric takes them, suggest; as predictions."""

    def check(self, output: Tensor, targets: Tensor) -> None:
        """Raises KasError if the targets of a batch are none of this task for such an output."""
        if len(output) != len(targets):
            raise KasError(f"the network returns {len(output)} outputs for {len(targets)} targets of a batch")

    def describe(self, targets: Tensor) -> str:
        """The targets of a split in words: kind, range, classes and the share of the largest."""
        return f"{_dtype(targets)} {list(targets.shape[1:])}"

    def loss(self) -> nn.Module:
        """A new loss. Raises KasError if there is none of that name, or it does not take its arguments."""
        given = self.settings.class_weights
        weights = self.weights if given == "balanced" else given
        if self.settings.loss is None and isinstance(weights, list) and len(weights) != self.width:
            raise KasError(f"training.class_weights has {len(weights)} weights for {self.width} {self._units}")
        return make_loss(self.settings, self.default_loss, self.width, weights)

    def balanced(self, data: Any) -> Self:
        """The same task, with weights of the classes from all training targets if `training.class_weights` is balanced.

        Raises KasError if a task has no classes.
        """
        if self.settings.class_weights != "balanced":
            return self
        where = "the training loader"
        with repeatable(0):
            found = [self.for_metric(self.batches.split(raw, where).targets) for raw in loader_of(data, "train")]
        targets = torch.cat(found)
        return replace(self, weights=[round(float(weight), 6) for weight in self._balance(targets)])

    def _balance(self, targets: Tensor) -> Tensor:
        """A weight for each class from all training targets, as the metric takes them."""
        raise KasError(f"training.class_weights: balanced needs classes, which task {self.name} does not have; leave it out")

    def measure(self) -> Measure:
        """The metric, new, with its name and direction. Raises KasError as `make_measure`."""
        return make_measure(self.settings, self.default_metric, self.family, self.width, self._tried())

    _units: ClassVar[str] = "classes"

    def _tried(self) -> tuple[Tensor, Tensor] | None:
        """A few predictions and targets to try a metric on: one number must come out."""
        return None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def whole(targets: Tensor) -> bool:
    """Whether all values are whole numbers."""
    return not targets.is_floating_point() or bool((targets == targets.round()).all())


def only_0_and_1(targets: Tensor) -> bool:
    return bool(((targets == 0) | (targets == 1)).all())


def squeezed(targets: Tensor, ndim: int) -> Tensor:
    """[N, 1, ...] as [N, ...], where one axis is too many."""
    return targets.squeeze(1) if targets.ndim == ndim + 1 and targets.shape[1] == 1 else targets


def number(value: Tensor | float) -> str:
    found = float(value)
    return f"{found:.0f}" if found == round(found) and abs(found) < 1e15 else f"{found:.4g}"


def range_of(targets: Tensor) -> str:
    return f"{number(targets.min())} to {number(targets.max())}"


def share(count: Tensor | float, total: int) -> str:
    return f"{100 * float(count) / max(1, total):.1f} %"


def finite(targets: Tensor) -> None:
    """Raises KasError for targets that are not numbers."""
    if targets.is_floating_point() and not torch.isfinite(targets).all():
        raise KasError("targets hold a value that is NaN or infinite: leave those samples out, or fill them in")
