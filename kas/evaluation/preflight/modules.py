"""Networks that cannot be searched, whatever the data are."""

from __future__ import annotations

import torch
from torch import nn

from kas.language.errors import KasError

__all__ = ["check_network"]

_QUANTISED = ("torch.ao.nn", "torch.ao.quantization", "torch.nn.qat", "torch.nn.quantized", "torch.nn.intrinsic", "torchao.")


def check_network(model: nn.Module) -> None:
    """Raises KasError, with the module's name and the remedy, for a network that no kernel can be put into or trained in."""
    if isinstance(model, torch.jit.ScriptModule):
        raise KasError(
            "the network is scripted (torch.jit): its layers cannot be replaced. Give the module that it was scripted from, "
            "and script the result"
        )
    for name, module in model.named_modules():
        where = f"module {name!r} ({type(module).__name__})" if name else type(module).__name__
        if type(module).__module__.startswith(_QUANTISED):
            raise KasError(
                f"{where} is of quantisation (aware) training: a search compares float networks. Give the network before "
                f"torch.ao's prepare, and quantise what is found"
            )
        for parameter_name, parameter in module.named_parameters(recurse=False):
            if nn.parameter.is_lazy(parameter):
                continue
            if parameter.is_meta:
                raise KasError(
                    f"{where} has its {parameter_name} on the meta device, without values: build the network outside of "
                    f"torch.device('meta'), or call to_empty and load its weights"
                )
            if parameter.is_complex() and isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                raise KasError(
                    f"{where} has complex weights, and kernels compute with real numbers: view its input as real "
                    f"(torch.view_as_real), or keep it out of targets.names and in a module of its own class"
                )
