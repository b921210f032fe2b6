"""The interface of a runtime, and what all runtimes share."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from kas.evaluation.failures import memory_errors
from kas.language.errors import KasError
from kas.lowering.export import reason
from kas.replacement.example import first_tensor

__all__ = ["Refusal", "Runtime", "quiet"]


class Refusal(KasError):
    """A runtime does not take a network; the message says which runtime, and why."""


class Runtime(ABC):
    """Runs networks for inference on one device.

    name: as in `cost.runtime`. memory_formats: those that make a difference to it, the usual one first. costly: whether
    preparing takes so long that the memory format is chosen in eager torch.
    """

    name: ClassVar[str]
    memory_formats: ClassVar[tuple[str, ...]] = ("contiguous", "channels_last")
    costly: ClassVar[bool] = False

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    @abstractmethod
    def missing(self) -> str | None:
        """What must be installed before this runtime works here, as a sentence; None where it works."""

    @abstractmethod
    def version(self) -> str:
        """Its name and version for the record: `onnxruntime 1.32.0 (CPU)`."""

    @abstractmethod
    def _prepare(self, network: nn.Module, example: Any) -> Callable[[], Any]:
        """A call that runs `network` once on `example`: a copy in eval mode, and both in their memory format."""

    def prepare(self, network: nn.Module, example: Any, memory_format: str = "contiguous") -> Callable[[], Any]:
        """A call that runs the network once on `example` ([N, ...], or several inputs; on the device to measure on), without
        gradients.

        The network and the example are left as they are; a network that changes its input gets the same one at each pass,
        which is part of the pass. Torch's thread count at this moment is the one that the call uses. Raises Refusal, and
        KasError if the example is on another device than the runtime's.
        """
        device = first_tensor(example).device
        if device.type != self.device.type:
            raise KasError(f"{self.name} runs on {self.device} here, but the example is on {device}")
        copied = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        if memory_format == "channels_last":
            copied, example = copied.to(memory_format=torch.channels_last), _channels_last(example)  # type: ignore[call-overload]
        else:  # the modules of kernels arrange their own weights
            for layer in [module for module in copied.modules() if isinstance(module, nn.modules.conv._ConvNd)]:
                layer.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            example = _pytree.tree_map_only(Tensor, Tensor.contiguous, example)
        own = _pytree.tree_map_only(Tensor, Tensor.clone, example)
        return _restoring(self._prepare(copied, own), own, example)

    def _guarded(self, run: Callable[[], Any], network: nn.Module) -> Callable[[], Any]:
        """The call, in which whatever the runtime's library raises is a Refusal: some networks fail only when they run."""

        def again() -> Any:
            try:
                return run()
            except Exception as error:
                self._refuse(network, error)

        return again

    def _refuse(self, network: nn.Module, error: Exception) -> NoReturn:
        with self._refusing(network, "running"):
            raise error
        raise AssertionError("a context that raises")

    @contextmanager
    def _refusing(self, network: nn.Module, doing: str = "preparing") -> Iterator[None]:
        """Around calls of the runtime's own library alone: whatever they raise on a network is a Refusal, in one line."""
        try:
            with quiet(), memory_errors(f"{doing} the network for {self.name}"):
                yield
        except KasError:
            raise
        except Exception as error:  # of many kinds: whatever an exporter or a compiler meets
            raise Refusal(f"{self.name} does not take {type(network).__name__}: {reason(error)}") from error


def _channels_last(example: Any) -> Any:
    def change(tensor: Tensor) -> Tensor:
        return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor.contiguous()

    return _pytree.tree_map_only(Tensor, change, example)


def _restoring(run: Callable[[], Any], own: Any, example: Any) -> Callable[[], Any]:
    """The call, after which `own`, its input, is the example again, if the first pass has changed it in place."""
    pairs = list(zip(_pytree.tree_leaves(own), _pytree.tree_leaves(example), strict=True))
    for mine, given in pairs:  # preparing may have run it
        mine.copy_(given)
    changes: bool | None = None

    def again() -> Any:
        nonlocal changes
        result = run()
        if changes is None:
            changes = not all(torch.equal(mine, given) for mine, given in pairs)
        for mine, given in pairs if changes else ():
            mine.copy_(given)
        return result

    return again


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what compilers and exporters warn of: their own use of their own deprecated names, most of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
