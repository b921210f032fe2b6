"""Inductor, as people use it for inference: the weights are constants, the shapes are fixed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from kas.evaluation.runtimes._base import Runtime, quiet

__all__ = ["Compile"]


class Compile(Runtime):
    """`torch.compile` with frozen weights: constants are folded, and convolutions and their norms become one."""

    name = "compile"
    costly = True

    def missing(self) -> str | None:
        if self.device.type == "cuda":
            return None if find_spec("triton") else "compile needs triton on a CUDA device: pip install triton"
        with quiet():
            from torch._inductor.cpp_builder import get_cpp_compiler
            from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            return "compile needs a C++ compiler: install g++ (Debian, Ubuntu: apt-get install g++), or name yours in CXX"
        return None

    def version(self) -> str:
        return f"inductor of torch {torch.__version__}"

    def _prepare(self, network: nn.Module, example: Tensor) -> Callable[[], Any]:
        with self._refusing(network), torch._inductor.config.patch(freezing=True):
            compiled: Any = torch.compile(network, dynamic=False)

            def run() -> Any:
                with torch.no_grad():
                    return compiled(example)

            run()
        return run
