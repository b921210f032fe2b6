"""The interface of a runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["Refusal", "Runtime"]


class Refusal(KasError):
    """A runtime does not take a network; the message says which runtime, and why."""


class Runtime(ABC):
    """Runs networks for inference on one device.

    name: as in `cost.runtime`. memory_formats: those that make a difference to it, the usual one first.
    """

    name: ClassVar[str]
    memory_formats: ClassVar[tuple[str, ...]] = ("contiguous", "channels_last")

    @abstractmethod
    def missing(self) -> str | None:
        """What must be installed before this runtime works here, as a sentence; None where it works."""

    @abstractmethod
    def version(self) -> str:
        """Its name and version for the record: `onnxruntime 1.32.0 (CPU)`."""

    @abstractmethod
    def prepare(self, network: nn.Module, example: Tensor, memory_format: str = "contiguous") -> Callable[[], Any]:
        """A call that runs the network once on `example` ([N, ...], on the device to measure on).

        The network is left as it is. Torch's thread count at this moment is the one that the call uses. Raises Refusal.
        """
