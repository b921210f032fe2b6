"""The interface of a runtime, and what all runtimes share."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kas.evaluation.failures import memory_errors
from kas.language.errors import KasError

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
    def _prepare(self, network: nn.Module, example: Tensor) -> Callable[[], Any]:
        """A call that runs `network` once on `example`: a copy in eval mode, and both in their memory format."""

    def prepare(self, network: nn.Module, example: Tensor, memory_format: str = "contiguous") -> Callable[[], Any]:
        """A call that runs the network once on `example` ([N, ...], on the device to measure on), without gradients.

        The network and the example are left as they are; a network that changes its input gets the same one at each pass,
        which is part of the pass. Torch's thread count at this moment is the one that the call uses. Raises Refusal, and
        KasError if the example is on another device than the runtime's.
        """
        if example.device.type != self.device.type:
            raise KasError(f"{self.name} runs on {self.device} here, but the example is on {example.device}")
        copied = copy.deepcopy(network).to(example.device).eval().requires_grad_(False)
        if memory_format == "channels_last":
            copied, example = copied.to(memory_format=torch.channels_last), example.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:  # the modules of kernels arrange their own weights
            for layer in [module for module in copied.modules() if isinstance(module, nn.modules.conv._ConvNd)]:
                layer.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            example = example.contiguous()
        own = example.clone()
        return _restoring(self._prepare(copied, own), own, example)

    @contextmanager
    def _refusing(self, network: nn.Module) -> Iterator[None]:
        """Around calls of the runtime's own library alone: whatever they raise on a network is a Refusal, in one line."""
        try:
            with quiet(), memory_errors(f"preparing the network for {self.name}"):
                yield
        except KasError:
            raise
        except Exception as error:  # of many kinds: whatever an exporter or a compiler meets
            raise Refusal(f"{self.name} does not take {type(network).__name__}: {_reason(error)}") from error


def _restoring(run: Callable[[], Any], own: Tensor, example: Tensor) -> Callable[[], Any]:
    """The call, after which `own`, its input, is the example again, if the first pass has changed it in place."""
    own.copy_(example)  # preparing may have run it
    changes: bool | None = None

    def again() -> Any:
        nonlocal changes
        result = run()
        if changes is None:
            changes = not torch.equal(own, example)
        if changes:
            own.copy_(example)
        return result

    return again


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what compilers and exporters warn of: their own use of their own deprecated names, most of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error: BaseException) -> str:
    """The innermost reason, in one line."""
    while inner := error.__cause__ or getattr(error, "inner_exception", None):  # a compiler's own way to say the cause
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
