"""What the splits of a data module hold, as far as a few seconds reach."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from kas.evaluation.batches import SPLITS, loader_of, repeatable
from kas.evaluation.inputs import samples
from kas.evaluation.tasks import Task
from kas.language.errors import KasError
from kas.replacement.example import first_tensor
from kas.replacement.frames import in_user_code

__all__ = ["Split", "read_split"]

_TARGETS = 20_000_000  # numbers that are kept at most


@dataclass
class Split:
    """Samples of a split that were seen: how many, whether all of them, their targets as the metric takes them, the samples of
    the last batch (None: not seen), the range of the inputs, and what identifies each."""

    name: str
    count: int = 0
    whole: bool = True
    targets: list[Tensor] = field(default_factory=list)
    last: int | None = None
    low: float = float("inf")
    high: float = float("-inf")
    marks: set[bytes] = field(default_factory=set)

    @property
    def size(self) -> str:
        """How many samples, in words."""
        return f"{self.count:,}" if self.whole else f"over {self.count:,}"


def read_split(data: Any, split: str, task: Task, seconds: float, custom: bool) -> Split:
    """Read a split for at most so many seconds. Raises KasError if it is empty, or its batches do not fit the task.

    custom: whether targets are the business of a loss of the user's.
    """
    found, where = Split(SPLITS[split]), f"the {SPLITS[split]} loader"
    end, held = time.monotonic() + seconds, 0
    loader = loader_of(data, split)
    with repeatable(0):
        batches = in_user_code(where, lambda: iter(loader))
        while (raw := in_user_code(where, lambda: next(batches, None))) is not None:
            batch = task.batches.split(raw, where)
            _note(found, batch.inputs, where)
            found.last = samples(batch.inputs)
            targets = batch.targets if custom else task.for_metric(batch.targets)
            held += targets.numel()
            found.targets.append(targets)
            if time.monotonic() > end or held > _TARGETS:
                found.whole = next(batches, None) is None
                break
    if not found.count:
        raise KasError(f"{where} has no batch: {type(data).__name__}.{split}_dataloader() must yield samples")
    found.last = found.last if found.whole else None
    return found


def _note(found: Split, inputs: Any, where: str) -> None:
    tensor = first_tensor(inputs).detach()
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise KasError(f"{where} yields inputs that are NaN or infinite: leave those samples out, or fill them in")
    if tensor.numel() and not tensor.is_complex():
        found.low, found.high = min(found.low, float(tensor.min())), max(found.high, float(tensor.max()))
    found.count += len(tensor)
    for sample in tensor.contiguous().view(torch.uint8).flatten(1) if tensor.ndim > 1 else ():
        found.marks.add(blake2b(sample.numpy().data, digest_size=8).digest())
