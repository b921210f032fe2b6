"""2,624 photographs of solar cells, whole and damaged, from the package elpv-dataset, which has them in its wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from kas.evaluation.data._memory import MemoryData, Split, Splits, prepare, random_flip
from kas.evaluation.data._mnist import three_way
from kas.evaluation.data._packaged import packaged
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings

__all__ = ["elpv"]


def elpv(settings: DataSettings) -> MemoryData:
    """Two classes, functional (69 %) and defective (a probability of at least a half); grey, [1, size, size], 48 by default.

    1,575 photographs for training, 525 and 524 for validation and the test. Electroluminescence images of 300x300 pixels by
    Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery"
    (EU PVSEC 2018), under CC BY-NC-SA 4.0: not for commercial use. Cells of a module may be in several splits.

    Raises KasError if the package is not installed.
    """
    size = settings.size or 48
    recipe = Preprocessing(
        mode="L", size=(size, size), mean=(0.6,), std=(0.15,), classes=("functional", "defective"), raw_size=(300, 300)
    )
    folder = packaged("elpv", "elpv_dataset", "elpv-dataset") / "data"

    def load() -> Splits:
        images, labels = _photographs(folder)
        inputs, targets = prepare(images, recipe), torch.from_numpy(labels)
        return Splits(*(Split(inputs[chosen], targets[chosen]) for chosen in map(torch.from_numpy, three_way(labels))))

    return MemoryData(settings, load=load, recipe=recipe, augment=random_flip)


def _photographs(folder: Path) -> tuple[list[Any], npt.NDArray[np.int64]]:
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = [line.split() for line in file]
    images = []
    for name, _, _ in rows:
        with Image.open(folder / "images" / Path(name).name) as image:
            images.append(np.asarray(image))
    return images, np.array([float(probability) >= 0.5 for _, probability, _ in rows], dtype=np.int64)
