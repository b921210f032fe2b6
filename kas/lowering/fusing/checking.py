"""The numeric proof of a fused module: the same outputs on random input, both in eval mode."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

__all__ = ["EXACT", "amplifies", "difference", "equal_up_to_rounding", "exact_difference", "module_tensor"]

EXACT = 1e-9  # in float64, for weights that were not rounded
_ROUNDING = {torch.float64: EXACT, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
_AMPLIFIED = 1000.0  # times what the last digits of the input change
_NOISE = 4.0  # times the module's own rounding errors, where these are larger


def exact_difference(original: nn.Module, fused: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """`difference` of the outputs of two modules computed in float64."""
    return difference(*(_run_exactly(module, args, kwargs) for module in (original, fused)))


def amplifies(module: nn.Module, x: Tensor, found: float) -> bool:
    """Whether an input that changes in its last digits of float64 changes the outputs nearly as much as `found`.

    Then a difference proves nothing: the outputs cancel to zero, or something divides by what does.
    """
    moved = x.double() * (1 + 4 * torch.finfo(torch.float64).eps)
    ours, theirs = (_run_exactly(module, (one,), {}) for one in (x, moved))
    return _AMPLIFIED * difference(ours, theirs) >= found


def equal_up_to_rounding(
    original: nn.Module, fused: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, float]:
    """Whether two modules give the same outputs in their own precision, and by how much these differ.

    In float32: to 1e-5 of the largest output, or, where a module enlarges every rounding (many layers, a division), to
    four times what its own outputs differ from those in float64.
    """
    ours, theirs = (_run(module, args, kwargs) for module in (original, fused))
    found = difference(ours, theirs)
    if found <= _ROUNDING.get(module_tensor(original).dtype, 1e-5):
        return True, found
    return found <= _NOISE * difference(_run_exactly(original, args, kwargs), ours), found


def difference(a: Any, b: Any) -> float:
    """The largest difference of two outputs, in units of the largest element; infinite where they do not compare.

    What is not finite must be so in both.
    """
    ours, theirs = _pytree.tree_leaves(a), _pytree.tree_leaves(b)
    if len(ours) != len(theirs):
        return float("inf")
    return max((_of_tensors(x, y) for x, y in zip(ours, theirs, strict=True) if isinstance(x, Tensor)), default=0.0)


def module_tensor(module: nn.Module) -> Tensor:
    """A tensor with the device and the precision of a module: its first floating parameter or buffer, or a new one."""
    tensors = (*module.parameters(), *module.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))


def _run(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The outputs for copies of the inputs, without gradients."""
    with torch.no_grad():
        return module(*_copied(args), **_copied(kwargs))


def _run_exactly(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same in float64, on the CPU: not every device has it."""
    args, kwargs = _pytree.tree_map_only(Tensor, _doubled, (args, kwargs))
    return _run(copy.deepcopy(module).cpu().double(), args, kwargs)


def _copied(values: Any) -> Any:
    return _pytree.tree_map_only(Tensor, torch.clone, values)


def _doubled(tensor: Tensor) -> Tensor:
    return tensor.cpu().double() if tensor.is_floating_point() else tensor.cpu()


def _of_tensors(x: Tensor, y: Any) -> float:
    if not isinstance(y, Tensor) or x.shape != y.shape:
        return float("inf")
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    finite = torch.isfinite(x)
    if not torch.equal(finite, torch.isfinite(y)):
        return float("inf")
    if not finite.any():
        return 0.0
    x, y = x[finite], y[finite]
    return float((x - y).abs().max() / x.abs().max().clamp(min=1e-30))
