"""From programs to torch: source, modules and drawings. Torch is loaded only when a module is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kas.lowering.module_source import class_name
from kas.lowering.standalone import source

if TYPE_CHECKING:
    from kas.lowering.building import build
    from kas.lowering.drawing import draw

__all__ = ["build", "class_name", "draw", "source"]

_HOMES = {"build": "kas.lowering.building", "draw": "kas.lowering.drawing"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kas.lowering' has no attribute {name!r}")
