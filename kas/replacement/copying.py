"""Copies of models and of example inputs, and what to do about models that cannot be copied."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, is_lazy
from torch.utils import _pytree

from kas.language.errors import KasError

__all__ = ["cloned", "copied"]

_INTERNAL = frozenset(vars(nn.Module()))

# torch's older helpers compute a weight before each call and leave it on the module, where deepcopy refuses it:
# the name beside it that gives the helper away, and what ends it.
_COMPUTED = {
    "mask": ("pruning", "torch.nn.utils.prune.remove({module}, {name!r})"),
    "g": ("weight norm", "torch.nn.utils.remove_weight_norm({module}, {name!r})"),
    "u": ("spectral norm", "torch.nn.utils.remove_spectral_norm({module}, {name!r})"),
}


def copied(model: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy of a model; `memo` as for `copy.deepcopy`: what to take in the place of the object with an id.

    Raises KasError with the attribute that cannot be copied, and how to clear it.
    """
    for prefix, module, attribute, value in _attributes(model):
        for path, leaf in _pytree.tree_flatten_with_path(value)[0]:
            if isinstance(leaf, Tensor) and not leaf.is_leaf:
                where = f"{prefix}{attribute}{_pytree.keystr(path)}"
                raise KasError(f"{type(model).__name__} cannot be copied: {_history(where, prefix, module, attribute)}")
    memo = dict(memo or {})
    for buffer in filter(is_lazy, model.buffers()):  # torch copies lazy parameters alone
        memo[id(buffer)] = UninitializedBuffer(device=buffer.device, dtype=buffer.dtype)  # type: ignore[call-arg]
    try:
        new: nn.Module = copy.deepcopy(model, memo)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise KasError(f"{type(model).__name__} cannot be copied{_culprit(model)}: {reason}") from error
    return new


def cloned(example_input: Any) -> Any:
    """A copy of an example input: whatever a network does to it in place, the caller's tensors stay as they are."""
    return _pytree.tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), example_input)


def _attributes(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Any]]:
    """What the modules of a model hold besides parameters and modules: the module's name with a dot, it, name, value."""
    for name, module in model.named_modules():
        own = {key: value for key, value in vars(module).items() if key not in _INTERNAL} | module._buffers
        for attribute, value in own.items():
            yield f"{name}." if name else "", module, attribute, value


def _history(where: str, prefix: str, module: nn.Module, attribute: str) -> str:
    """Why a tensor with a history is where it is, and how to clear it."""
    for suffix, (helper, call) in _COMPUTED.items():
        if hasattr(module, f"{attribute}_{suffix}"):
            name = prefix.rstrip(".")
            end = call.format(module=f"model.get_submodule({name!r})", name=attribute)
            return f"the {attribute} of module {name!r} is computed by {helper}; make it a plain parameter first: {end}"
    return (
        f"its attribute `{where}` holds a tensor that was computed with gradients; clear it first: "
        f"set `{where}` to None, or let the network keep `.detach()` of it"
    )


def _culprit(model: nn.Module) -> str:
    """The first attribute that cannot be copied on its own (a lock, an open file, a generator)."""
    for prefix, _, attribute, value in _attributes(model):
        try:
            copy.deepcopy(value)
        except Exception:
            return f", because of its attribute `{prefix}{attribute}`"
    return ""
