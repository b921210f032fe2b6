"""The optimized lowering with its open choices measured on a device. Only on demand: `build` never measures anything.

Some rules are faster for most sizes and devices, not for all (`ALTERNATIVES` of the rules). `build_measured` builds the kernel
with each of them left out, where that changes its source, times the candidates and keeps the name of the fastest in a small
file, so that each question is asked once for a device and torch version. What it gives depends on the machine; what `build`
gives does not.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kas.language.kernel import Kernel
from kas.lowering.building import build
from kas.lowering.module_source import source
from kas.lowering.rules import ALTERNATIVES

__all__ = ["build_measured", "cache_file", "candidates"]

_REPEATS = 15
_CLEARLY = 0.97  # of the usual form's time, what another must take at most to be preferred


def cache_file() -> Path:
    """Where choices are kept: `kas/lowerings.json` in `$XDG_CACHE_HOME`, or in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kas" / "lowerings.json"


def candidates(kernel: Kernel, **sizes: Any) -> list[str]:
    """The names of lowerings that write different sources for a kernel at these sizes, the usual one first."""
    texts = {source(kernel, **sizes): "optimized"}
    for name in ALTERNATIVES:
        texts.setdefault(source(kernel, **sizes, lowering=f"optimized, no {name}"), f"optimized, no {name}")
    return list(texts.values())


def build_measured(
    kernel: Kernel,
    *,
    channels: int,
    size: tuple[int, ...],
    groups: int = 1,
    values: Mapping[str, int] | None = None,
    batch: int = 1,
    device: str = "cpu",
    cache: Path | None = None,
) -> nn.Module:
    """`build`, with the fastest of the candidates for inference at this size and batch on this device.

    `cache`: another file than `cache_file()`. The module is on the device. Raises Infeasible as `build` does.
    """
    sizes: dict[str, Any] = {"channels": channels, "size": tuple(size), "groups": groups, "values": dict(values or {})}
    names = candidates(kernel, **sizes)
    if len(names) == 1:
        return build(kernel, **sizes).to(device)
    file = cache_file() if cache is None else cache
    key = json.dumps([_device_name(device), torch.__version__, kernel.to_json(), *sizes.values(), batch])
    choice = _read(file).get(key)
    if choice not in names:
        choice = _fastest(kernel, names, sizes, torch.randn(batch, channels, *size, device=device))
        _write(file, key, choice)
    return build(kernel, **sizes, lowering=choice).to(device)


def _fastest(kernel: Kernel, names: list[str], sizes: dict[str, Any], x: torch.Tensor) -> str:
    """The candidate with the least median time, of calls that take turns; the usual one unless another is clearly faster."""
    modules = [build(kernel, **sizes, lowering=name).to(x.device).eval() for name in names]
    found: list[list[float]] = [[] for _ in names]
    with torch.inference_mode():
        for turn in range(_REPEATS + 2):
            for own, module in zip(found, modules, strict=True):
                start = time.perf_counter()
                module(x)
                if x.is_cuda:
                    torch.cuda.synchronize(x.device)
                if turn > 1:
                    own.append(time.perf_counter() - start)
    medians = [statistics.median(own) for own in found]
    best = min(range(len(names)), key=medians.__getitem__)
    return names[best] if medians[best] < _CLEARLY * medians[0] else names[0]


def _device_name(device: str) -> str:
    kind = torch.device(device)
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    return f"{kind.type} {torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"


def _read(file: Path) -> dict[str, str]:
    """The choices so far; none where the file is not there or cannot be read as choices."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, key: str, choice: str) -> None:
    """Add a choice. The file is replaced at once; of two that write together one choice is lost and measured again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    with os.fdopen(handle, "w") as stream:
        json.dump(_read(file) | {key: choice}, stream, indent=0)
    os.replace(name, file)
