"""What `measure` found, as JSON files in the study's folder: one for a device, runtime, batch and thread count (no torch).

A copy of the folder takes them along. The study's own numbers, by which its front was chosen, are not changed by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kas.reporting.parsing import loads
from kas.study.storage.files import StudyFolder, write_json

__all__ = ["FORMAT", "keep", "path_of", "read"]

FORMAT = "kas.measurement/1"
_NAME_LIMIT = 80  # characters of a device's name in a file's name


def path_of(folder: StudyFolder, measurement: Mapping[str, Any]) -> Path:
    """The file of a measurement: `measurements/DEVICE-RUNTIME-batchN-threadsN.json`, in letters, digits, `-` and `_` alone."""
    device, runtime, batch, threads = (measurement[key] for key in ("device", "runtime", "batch_size", "threads"))
    words = (device, runtime, f"batch{batch}", f"threads{threads}")
    name = "-".join(re.sub(r"[^A-Za-z0-9_]+", "-", str(word)).strip("-")[:_NAME_LIMIT] for word in words)
    return folder.measurements / f"{name}.json"


def keep(folder: StudyFolder, measurement: Mapping[str, Any]) -> Path:
    """Write a measurement, in one step; kernels that were measured earlier under these conditions stay. Returns the path."""
    path = path_of(folder, measurement)
    earlier = loads(_read(path).get("kernels"))
    return write_json(path, {"format": FORMAT, **measurement, "kernels": {**earlier, **measurement["kernels"]}})


def read(folder: StudyFolder) -> list[Mapping[str, Any]]:
    """All measurements of a study, in the order of their files' names; a file that is none is left out."""
    found = [_read(path) for path in sorted(folder.measurements.glob("*.json"))]
    return [measurement for measurement in found if measurement.get("format") == FORMAT]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
