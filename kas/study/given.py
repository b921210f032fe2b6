"""Networks and data that a call of `kas.search` was given as objects, not by the name of a factory.

A configuration holds a description of such an object, in the form of a factory of this module and its argument. The factory
finds the object while the call runs. Any other process is told which call goes on with the study: nothing is unpickled.
"""

from __future__ import annotations

import copy
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kas.evaluation.factories import call_function
from kas.language.errors import KasError, shown

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule
    from torch import nn

__all__ = ["data", "data_section", "given", "model_section", "network"]

_objects: dict[str, Any] = {}  # by their description, for as long as `given` holds them


@contextmanager
def given(objects: Mapping[str, Any]) -> Iterator[None]:
    """Let the factories of this module find `objects`, by their descriptions."""
    before = dict(_objects)
    _objects.update(objects)
    try:
        yield
    finally:
        _objects.clear()
        _objects.update(before)


def model_section(model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The section `model` of a configuration for what stands for a network, and the objects that it describes.

    model: a module; a function or class that makes one; the name of a network or "package.module:function"; or the section.
    Raises KasError for anything else.
    """
    from torch import nn

    if isinstance(model, nn.Module):
        description = _described(model)
        return {"factory": f"{__name__}:network", "args": {"network": description}}, {description: model}
    if isinstance(model, str | Mapping):
        return _named(model), {}
    if callable(model):
        if (name := _importable(model)) is not None:
            return {"factory": name}, {}
        description = f"{getattr(model, '__qualname__', type(model).__name__)}(...)"
        return {"factory": f"{__name__}:network", "args": {"network": description}}, {description: model}
    raise KasError(
        f"model is {shown(model)}; it must be a torch.nn.Module, a function that returns one, the name of a network or "
        f'"package.module:function"'
    )


def data_section(data: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of the section `data`, for what stands for data.

    data: a LightningDataModule; the loaders of training and validation; the name of a data set or "package.module:function"; or
    the section. Raises KasError for anything else.
    """
    from torch.utils.data import DataLoader

    from kas.evaluation._lightning import pl

    if isinstance(data, str | Mapping):
        return _named(data), {}
    if isinstance(data, pl.LightningDataModule):
        description = type(data).__qualname__
    elif isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(one, DataLoader) for one in data):
        description = f"loaders of {_samples(data[0])} and {_samples(data[1])} samples, {data[0].batch_size} in a batch"
    else:
        raise KasError(
            f"data is {shown(data)}; it must be a LightningDataModule, two DataLoaders (training, validation), the name of a "
            f'data set or "package.module:function"'
        )
    return {"factory": f"{__name__}:data", "factory_args": {"data": description}}, {description: data}


def network(network: str, num_classes: int | None = None, input_shape: Any = None, **arguments: Any) -> nn.Module:
    """A copy of the network of that description, on the CPU; or a new one, if a function was given."""
    from torch import nn

    found = _found("network", network)
    if isinstance(found, nn.Module):
        if arguments:
            raise KasError(
                f"a network that was given as an object takes no arguments ({', '.join(arguments)}): give a function"
            )
        return copy.deepcopy(found).cpu()
    offered = {"num_classes": num_classes, "input_shape": input_shape}
    model: nn.Module = call_function("model", network, found, arguments, offered)
    return model


def data(data: str) -> LightningDataModule:
    """The data of that description."""
    from kas.evaluation._lightning import pl

    found = _found("data", data)
    if isinstance(found, pl.LightningDataModule):
        return copy.copy(found)

    class Loaders(pl.LightningDataModule):
        """Two loaders as a data module."""

        def train_dataloader(self) -> Any:
            return found[0]

        def val_dataloader(self) -> Any:
            return found[1]

    return Loaders()


def _found(what: str, description: str) -> Any:
    if description in _objects:
        return _objects[description]
    others = f" (this call gave {', '.join(_objects)})" if _objects else ""
    raise KasError(
        f"the study's {what}, {description!r}, was given to kas.search as an object, which only such a call has{others}: go on "
        f"with kas.search(model, data, name=...), or read the study with kas.Study.load(...).network(hash, model=...)"
    )


def _named(value: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {"factory": value} if ":" in value else {"name": value}


def _described(model: nn.Module) -> str:
    """The class of a network, and a hash of its layers and of the shapes of its weights."""
    layers = re.sub(r"0x[0-9a-f]+", "", str(model))
    shapes = [(name, tuple(value.shape), str(value.dtype)) for name, value in model.state_dict().items()]
    return f"{type(model).__qualname__} {hashlib.sha256(repr((layers, shapes)).encode()).hexdigest()[:8]}"


def _importable(function: Any) -> str | None:
    """The name by which another process finds a function or class; None if there is none."""
    module, name = getattr(function, "__module__", None), getattr(function, "__name__", "")
    there = module in sys.modules and module != "__main__" and getattr(sys.modules[module], name, None) is function
    return f"{module}:{name}" if there else None


def _samples(loader: Any) -> int | str:
    try:
        return len(loader.dataset)
    except TypeError:  # of a stream
        return "unknown"
