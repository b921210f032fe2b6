"""Torch as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from kas.evaluation.runtimes._base import Runtime
from kas.replacement.example import arguments

__all__ = ["Eager"]


class Eager(Runtime):
    """Calls the network."""

    name = "eager"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return f"torch {torch.__version__}"

    def _prepare(self, network: nn.Module, example: Any) -> Callable[[], Any]:
        args, kwargs = arguments(example)

        def run() -> Any:
            with torch.inference_mode():
                return network(*args, **kwargs)

        return run
