"""Makes torchvision importable where its compiled operators do not load.

torchvision registers shape functions for its operators `nms` and `qnms` when it is imported. Where the compiled library
does not fit the installed torch (a CPU build next to a wheel for CUDA, say), the operators have no schema and the import
fails, and with it Lightning's and torchmetrics'. The models need none of these operators: declaring the two schemas is
enough. A torchvision whose library loads is left alone.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch

__all__ = ["ensure_importable"]

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_torch: Any = torch  # its library functions are not typed
_library: list[Any] = []  # a registration lives as long as its Library object


def ensure_importable() -> bool:
    """Declare the missing operators, if any, before torchvision is imported; True if this was needed (now or before).

    Does nothing without torchvision, or when it is imported already.
    """
    if _library:
        return True
    spec = importlib.util.find_spec("torchvision") if "torchvision" not in sys.modules else None
    if spec is None or spec.origin is None or _loads(Path(spec.origin).parent):
        return False
    library = _torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + schema)
    _library.append(library)
    return True


def _loads(folder: Path) -> bool:
    """Whether the compiled operators are there and load, as torchvision will load them itself (twice is harmless)."""
    for path in [*folder.glob("_C*.so"), *folder.glob("_C*.pyd"), *folder.glob("_C*.dylib")]:
        try:
            _torch.ops.load_library(str(path))
        except OSError:
            continue
        return hasattr(torch.ops.torchvision, "nms")
    return False
