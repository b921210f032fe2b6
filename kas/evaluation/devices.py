"""From a study file's `device` to a torch device, and its name for the record."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kas.language.errors import KasError

__all__ = ["check_precision", "cpu_threads", "describe_device", "lightning_accelerator", "resolve_device", "synchronize"]

# What a kind of device cannot train in, and what comes nearest there.
_MISSING = {("cpu", "16-mixed"): "bf16-mixed", ("mps", "64-true"): "32-true"}


def resolve_device(device: str) -> torch.device:
    """`auto` (CUDA, then MPS, then CPU), `cpu`, `mps`, `cuda` or `cuda:N`. KasError if it is not there."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if device == "cpu":
        return torch.device("cpu")
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise KasError("device: mps is asked for, but torch finds none; use device: auto or cpu")
        return torch.device("mps")
    kind, _, index = device.partition(":")
    if kind != "cuda" or (index and not index.isdigit()) or device.endswith(":"):
        raise KasError(f"device is {device!r}; it must be auto, cpu, mps, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise KasError(f"device: {device} is asked for, but torch finds no CUDA device; use device: auto or cpu")
    if int(index or 0) >= count:
        raise KasError(f"device: {device} is asked for, but there are {count} CUDA devices, numbered from 0")
    return torch.device("cuda", int(index or 0))


def check_precision(device: torch.device, precision: str) -> None:
    """Raise KasError if networks cannot be trained in `training.precision` on a device (Lightning would take another)."""
    instead = _MISSING.get((device.type, precision))
    if instead is not None:
        raise KasError(
            f"training.precision: {precision} cannot be had on the device {device.type}; "
            f"use training.precision: {instead}, or another device"
        )


def describe_device(device: torch.device) -> str:
    """The device's name: the GPU's, or the processor's with its number of torch threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{platform.processor()} (MPS)"
    threads = torch.get_num_threads()
    return f"{_processor()} ({threads} thread{'s' if threads > 1 else ''})"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Torch's CPU threads, for a while; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def lightning_accelerator(device: torch.device) -> dict[str, Any]:
    """The Trainer's arguments that train on exactly this device."""
    return {"accelerator": device.type, "devices": [device.index or 0] if device.type == "cuda" else 1}


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
