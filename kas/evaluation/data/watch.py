"""Seven shoulder exercises by a watch's sensors, from the package seglearn, which has the recordings in its wheel."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kas.evaluation.data._memory import MemoryData, Split, Splits
from kas.evaluation.data._packaged import packaged
from kas.evaluation.settings import DataSettings
from kas.language.errors import KasError

__all__ = ["watch"]

_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"  # of seglearn 1.2.5
_SUBJECTS = {"train": range(1, 7), "val": range(7, 9), "test": range(9, 11)}
_CLASSES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")


@dataclass(frozen=True)
class Signals:
    """How a recording becomes the network's input: windows of `length` samples, each channel normalised."""

    length: int
    mean: tuple[float, ...] = (0.0, 0.38, -0.15, 0.0, 0.0, 0.0)
    std: tuple[float, ...] = (0.9, 0.49, 0.54, 1.0, 2.5, 1.05)
    classes: tuple[str, ...] = _CLASSES
    unit: float = 1.0

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (len(self.mean), self.length)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, with the steps in words."""
        return {
            "layout": "NCL",
            "channels": ["ax", "ay", "az", "wx", "wy", "wz"],
            "sampling_hz": 50,
            "size": [self.length],
            "mean": list(self.mean),
            "std": list(self.std),
            "classes": list(self.classes),
            "steps": [
                f"windows of {self.length} samples",
                "(value - mean) / std, for each channel",
                "float32 in the layout NCL",
            ],
        }


def watch(settings: DataSettings) -> MemoryData:
    """Seven exercises, [6, size]: acceleration and rotation along three axes at 50 Hz, windows of 128 samples by default.

    A window begins every half window. Six people for training, two each for validation and the test. Recordings by Burns et
    al., "Shoulder Physiotherapy Exercise Recognition" (Physiological Measurement 39, 2018, arXiv 1802.01489), BSD licence.

    Raises KasError if the package is not installed, or its file is not the one that is known.
    """
    recipe = Signals(settings.size or 128)
    path = packaged("watch", "seglearn", "seglearn") / "data" / "watch_dataset.npy"

    def load() -> Splits:
        stored = path.read_bytes()
        if hashlib.sha256(stored).hexdigest() != _SHA256:  # it is a pickle: nothing else is ever unpickled
            raise KasError(f"data.name watch: {path} is not the file of seglearn 1.2.5; install that version")
        recordings = np.load(io.BytesIO(stored), allow_pickle=True).item()
        return Splits(*(_windows(recordings, subjects, recipe.length) for subjects in _SUBJECTS.values()))

    return MemoryData(settings, load=load, recipe=recipe)


def _windows(recordings: dict[str, Any], subjects: range, length: int) -> Split:
    windows, labels = [], []
    for series, label, subject in zip(recordings["X"], recordings["y"], recordings["subject"], strict=True):
        if subject in subjects and len(series) >= length:
            found = torch.from_numpy(series.astype(np.float32)).unfold(0, length, max(1, length // 2))
            windows.append(found)
            labels += [int(label)] * len(found)
    if not windows:
        raise KasError(f"data.size is {length}, but no recording of data.name watch is longer than 2,618 samples")
    return Split(torch.cat(windows), torch.tensor(labels))
