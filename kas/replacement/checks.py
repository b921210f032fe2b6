"""What a replaced network must show before anything is trained: that it runs, and that its stand-ins are what runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from kas.language.errors import KasError
from kas.replacement.copying import cloned, copied
from kas.replacement.example import ExampleInput
from kas.replacement.running import run
from kas.replacement.standin import StandIn
from kas.solvers.targets import Target

__all__ = ["check_replaced", "only_replaced_train"]


def check_replaced(model: nn.Module, targets: Sequence[Target], example_input: ExampleInput) -> Any:
    """The output of a copy of a replaced network in eval mode, without gradients, for a copy of the example.

    Raises KasError, with the names, if the network does not run any more (it reads what a stand-in does not have), does
    not call what stands in the place of a target (it asks for the type of its layers), or computes with its weight.
    """
    model = copied(model).eval()
    called: set[str] = set()
    with ExitStack() as stack:
        for target in targets:
            hook = partial(_note, called, target.name)
            stack.callback(model.get_submodule(target.name).register_forward_hook(hook).remove)
        try:
            output = run(model, cloned(example_input))
        except KasError as error:
            raise KasError(f"replace: with kernels in its layers' places, {_attribute(model, error)}{error}") from error
    if left := [target.name for target in targets if target.name not in called]:
        raise KasError(
            f"replace: {type(model).__name__} would not call {', '.join(left)} any more: its forward looks for layers of a "
            f"type (isinstance), or calls a function with their weights. Let it call what stands there whatever its type, or "
            f"choose other layers by name"
        )
    if _has_nan(output):
        _check_weights(model, targets, example_input)
    return output


def only_replaced_train(model: nn.Module) -> str | None:
    """A sentence if no parameter of an original network requires a gradient; else None."""
    if any(parameter.requires_grad for parameter in model.parameters()):
        return None
    return (
        f"no parameter of {type(model).__name__} requires a gradient: nothing can be trained but the replaced layers, "
        f"and they are"
    )


def _note(called: set[str], name: str, module: nn.Module, args: Any, output: Any) -> None:
    called.add(name)


def _attribute(model: nn.Module, error: KasError) -> str:
    """The attribute of a stand-in that the network asked for in vain, if that is what failed."""
    cause = error.__cause__
    if isinstance(cause, AttributeError) and isinstance(cause.obj, nn.Module):
        for name, module in model.named_modules():
            if module is cause.obj and isinstance(module, StandIn):
                return f"which have no `{cause.name}` (it reads `{name}.{cause.name}`), "
    return ""


def _has_nan(output: Any) -> bool:
    leaves = _pytree.tree_leaves(output)
    return any(bool(leaf.isnan().any()) for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point())


def _check_weights(model: nn.Module, targets: Sequence[Target], example_input: ExampleInput) -> None:
    """Raises KasError with the stand-ins whose weight, which is nan, reaches the output."""
    held = {target.name: model.get_submodule(target.name)._buffers.get("_weight") for target in targets}
    weights = {name: weight for name, weight in held.items() if weight is not None}
    for weight in weights.values():
        weight.zero_()
    if _has_nan(run(model, cloned(example_input))):
        return  # from elsewhere: the health check's business
    used = []
    for name, weight in weights.items():
        weight.fill_(torch.nan)
        used += [name] * _has_nan(run(model, cloned(example_input)))
        weight.zero_()
    raise KasError(
        f"replace: {type(model).__name__} computes with the weight of {', '.join(used)}, besides calling it; kernels have "
        f"other weights. Choose other layers by name"
    )
