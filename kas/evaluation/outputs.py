"""The one tensor of what a network returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kas.language.errors import KasError

__all__ = ["output_of"]

_KEYS = ("out", "logits")


def output_of(output: Any, key: str | None = None) -> Tensor:
    """The output that is trained, of what a network returns: a tensor [N, ...], the attribute `logits`, the first of a tuple
    (others are auxiliary), the only tensor of a dictionary, or its key `out` or `logits`.

    key: the key, or the position, to take (`model.output`). Raises KasError if it is not there, and for anything else.
    """
    found = getattr(output, "logits", output) if key is None else _named(output, key)
    if isinstance(found, Mapping):
        tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
        keys = [name for name in _KEYS if name in tensors] or (list(tensors) if len(tensors) == 1 else [])
        if not keys:
            raise KasError(
                f"the network returns a dictionary with the tensors {sorted(map(str, tensors))}; expected one, or the key "
                f"'out' or 'logits': name the one to train, as in model.output: {next(iter(tensors), 'out')}"
            )
        found = tensors[keys[0]]
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise KasError(f"the network returns a {type(output).__name__}; expected a tensor [N, ...], or several under keys")
    return found


def _named(output: Any, key: str) -> Any:
    if isinstance(output, Mapping) and key in output:
        return output[key]
    if isinstance(output, (tuple, list)) and key.isdecimal() and int(key) < len(output):
        return output[int(key)]
    if not isinstance(output, (Mapping, tuple, list, Tensor)) and hasattr(output, key):
        return getattr(output, key)
    has = f"the keys {', '.join(map(str, output))}" if isinstance(output, Mapping) else f"a {type(output).__name__}"
    raise KasError(f"model.output is {key!r}, but the network returns {has}")
