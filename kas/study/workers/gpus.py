"""One worker a GPU: which CUDA device each worker process of a machine sees. No torch is needed to tell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

__all__ = ["own_gpu"]


def own_gpu(device: str, number: int) -> dict[str, str]:
    """What the environment of worker `number` (from 1) has so that the GPUs of this machine are dealt out in turn.

    device: of the study. Nothing where it names one (`cuda:1`, `cpu`), and where there are fewer than two.
    """
    found = _visible() if device in ("auto", "cuda") else []
    return {"CUDA_VISIBLE_DEVICES": found[(number - 1) % len(found)]} if len(found) > 1 else {}


def _visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE)
