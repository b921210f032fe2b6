"""Inductor, as people use it for inference: the weights are constants, the shapes are fixed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from importlib.util import find_spec
from types import FunctionType
from typing import Any

import torch
from torch import nn

from kas.evaluation.runtimes._base import Runtime, quiet
from kas.replacement.example import arguments

__all__ = ["Compile"]

# Where a graph breaks, what follows it still shares its code object with other networks.
_NO_LIMIT = {"recompile_limit": 10**6, "accumulated_recompile_limit": 10**6}


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

    def _prepare(self, network: nn.Module, example: Any) -> Callable[[], Any]:
        call, (args, kwargs) = _own(network), arguments(example)
        with self._refusing(network):
            from torch._dynamo import config as dynamo
            from torch._inductor import config as inductor

            compiled: Any = torch.compile(call, dynamic=False)

            def run() -> Any:
                with torch.no_grad():  # frozen weights are for inference alone
                    return compiled(*args, **kwargs)

            # The thread count is written into the code: as a setting it is also part of the key that finds compiled code again.
            settings = {"freezing": True, "cpp.threads": torch.get_num_threads()}
            with inductor.patch(settings), dynamo.patch(_NO_LIMIT):
                run()
        weakref.finalize(run, torch._dynamo.eval_frame.remove_from_cache, call.__code__)
        return self._guarded(run, network)


def _own(network: nn.Module) -> FunctionType:
    """A call of the network with a code object of its own.

    Torch keeps what it compiled with the code object, as long as the process lives: a handful of networks of one class would
    fill its cache, all others would run in eager torch without a word, and none would ever be freed.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return network(*args, **kwargs)

    return FunctionType(call.__code__.replace(), call.__globals__, closure=call.__closure__)
