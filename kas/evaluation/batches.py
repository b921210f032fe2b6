"""What a loader yields, as inputs of the network and targets: pairs as they are, all else as `data.batch` maps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kas.language.errors import KasError
from kas.replacement.frames import in_user_code

__all__ = ["SPLITS", "Batch", "Batches", "loader_of", "repeatable"]

SPLITS = {"train": "training", "val": "validation", "test": "test"}
_TARGETS = ("target", "targets", "label", "labels", "mask", "y")  # the usual names, for the advice alone


class Batch(NamedTuple):
    """inputs: a tensor, or a tuple or dict of tensors, of a network; targets: of its output. Both [N, ...]. raw: as it came."""

    inputs: Any
    targets: Tensor
    raw: Any = None


class Batches:
    """Splits what the loaders of a data module yield.

    mapping: `data.batch`: `inputs` is a key (or position) of a batch, a list of them for a network that takes several
    positional arguments, or a mapping from its arguments' names; `targets` is a key or position. Empty: batches are pairs.

    >>> Batches({"inputs": "image", "targets": "label"}).split({"image": torch.zeros(2, 3), "label": torch.ones(2)}).targets
    tensor([1., 1.])
    """

    def __init__(self, mapping: Mapping[str, Any] | None = None) -> None:
        self.mapping = dict(mapping or {})

    def split(self, batch: Any, where: str = "a loader") -> Batch:
        """Inputs and targets. Raises KasError, which names what is there and how to map it, for what is no batch."""
        if self.mapping:
            wanted = self.mapping["inputs"]
            if isinstance(wanted, dict):
                inputs: Any = {name: _part(batch, key, where) for name, key in wanted.items()}
            elif isinstance(wanted, list):
                inputs = tuple(_part(batch, key, where) for key in wanted)
            else:
                inputs = _part(batch, wanted, where)
            return Batch(inputs, _tensor(_part(batch, self.mapping["targets"], where), "targets", where), batch)
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise KasError(f"{where} yields {_what(batch)}; pairs (inputs, targets) are expected: {_advice(batch)}")
        inputs, targets = batch
        inputs = tuple(inputs) if isinstance(inputs, list) else inputs
        for tensor in inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (inputs,):
            _tensor(tensor, "inputs", where)
        return Batch(dict(inputs) if isinstance(inputs, Mapping) else inputs, _tensor(targets, "targets", where), batch)

    def first(self, data: Any, split: str, seed: int = 0) -> Batch:
        """The first batch of a split, the same one each time. Raises KasError if there is none, or it is none."""
        with repeatable(seed):
            loader, nothing = loader_of(data, split), object()
            batch = in_user_code(f"the {SPLITS[split]} loader", lambda: next(iter(loader), nothing))
        if batch is not nothing:
            return self.split(batch, f"the {SPLITS[split]} loader")
        raise KasError(
            f"the {SPLITS[split]} loader has no batch: {type(data).__name__}.{split}_dataloader() must yield samples"
        )


def loader_of(data: Any, split: str) -> Any:
    """A split's loader, of a data module that is set up. Raises KasError if there are several."""
    stage = "test" if split == "test" else "fit"

    def make() -> Any:
        data.prepare_data()
        data.setup(stage)
        return getattr(data, f"{split}_dataloader")()

    loader = in_user_code(f"{type(data).__name__}.{split}_dataloader", make)
    if isinstance(loader, (list, tuple, dict)):
        if len(loader) == 1:
            return next(iter(loader.values() if isinstance(loader, dict) else loader))
        raise KasError(
            f"{type(data).__name__}.{split}_dataloader returns {len(loader)} loaders; one is expected, as there is one score: "
            f"return the one that decides, or a DataLoader over a ConcatDataset of them"
        )
    return loader


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Torch's generator at a seed, and afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _part(batch: Any, key: Any, where: str) -> Any:
    try:
        if isinstance(batch, Mapping) or (isinstance(key, int) and not isinstance(batch, Tensor)):
            return batch[key]
        return getattr(batch, str(key))
    except (KeyError, IndexError, AttributeError, TypeError):
        raise KasError(f"data.batch names {key!r}, but {where} yields {_what(batch)}") from None


def _tensor(value: Any, role: str, where: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise KasError(
            f"{where} yields {role} of type {type(value).__name__}; a torch.Tensor [N, ...] is expected: let the data set "
            f"return tensors, or give the DataLoader a collate_fn"
        )
    if value.ndim == 0:
        raise KasError(f"{where} yields {role} without a batch axis; a tensor [N, ...] is expected")
    return value


def _what(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"dictionaries with the keys {', '.join(map(str, batch))}"
    if isinstance(batch, (tuple, list)):
        return f"batches of {len(batch)} parts"
    if isinstance(batch, Tensor):
        return f"a tensor {list(batch.shape)} alone"
    return f"a {type(batch).__name__}"


def _advice(batch: Any) -> str:
    """The setting that maps a batch, with its own keys."""
    if isinstance(batch, Mapping) and len(batch) > 1:
        keys = [str(key) for key in batch]
        target = next((key for name in _TARGETS for key in keys if key.lower() == name), keys[-1])
        others = [key for key in keys if key != target]
        return f"map them, as in data.batch: {{inputs: {others[0]}, targets: {target}}}"
    if isinstance(batch, (tuple, list)) and len(batch) > 2:
        return "map them by position, as in data.batch: {inputs: 0, targets: 1}, or {inputs: [0, 1], targets: 2}"
    return "let the data set return (inputs, targets), or map its parts with data.batch: {inputs: ..., targets: ...}"
