"""From a raw image of a data set to a network's input, in steps that numpy and Pillow alone can repeat exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Preprocessing"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """How the data sets of kas prepare an image, the same for validation, test and use.

    mode: Pillow's name of the image's mode, L (grey) or RGB. size: height and width of the network's input. mean, std: of
    each channel, for pixels in 0..1. classes: their names, in the order of the logits. raw_range: of the raw values.
    raw_size: height and width of the raw images, where all have the same. shorter: the length to which the shorter side
    is resized before the centre is cut out; None: the whole image is resized. layout: NCHW, or NCL: the rows of a grey
    image are the channels of a sequence.
    """

    mode: str
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    raw_range: tuple[int, int] = (0, 255)
    raw_size: tuple[int, int] | None = None
    shorter: int | None = None
    layout: str = "NCHW"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample: (C, H, W), or (C, L)."""
        return (len(self.mean), *(self.size if self.layout == "NCHW" else self.size[1:]))

    @property
    def unit(self) -> float:
        """What pixels are divided by before they are normalised."""
        return 255.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, with the steps in words."""
        return {
            "layout": self.layout,
            "channels": len(self.mean),
            "mode": self.mode,
            "raw_range": list(self.raw_range),
            "raw_size": None if self.raw_size is None else list(self.raw_size),
            "resize_shorter": self.shorter,
            "size": list(self.size),
            "interpolation": "bilinear",
            "mean": list(self.mean),
            "std": list(self.std),
            "classes": list(self.classes),
            "steps": self._steps(),
        }

    def pixels(self, raw: Any) -> Pixels:
        """All steps but the last two: 8-bit pixels [H, W] or [H, W, 3] of a raw array or a Pillow image."""
        from PIL import Image

        image = (raw if isinstance(raw, Image.Image) else Image.fromarray(self._eight_bits(raw))).convert(self.mode)
        height, width = self._resized(image.height, image.width)
        if (image.height, image.width) != (height, width):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        top, left = round((height - self.size[0]) / 2), round((width - self.size[1]) / 2)
        return np.array(image, dtype=np.uint8)[top : top + self.size[0], left : left + self.size[1]]

    def _eight_bits(self, raw: Any) -> Pixels:
        low, high = self.raw_range
        return np.rint((np.asarray(raw, dtype=np.float64) - low) * (255 / (high - low))).astype(np.uint8)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.shorter is None:
            return self.size
        short = min(height, width)
        return int(self.shorter * height / short), int(self.shorter * width / short)

    def _steps(self) -> list[str]:
        low, high = self.raw_range
        height, width = self.size
        steps = [] if (low, high) == (0, 255) else [f"8 bits: rint((raw - {low}) * 255 / {high - low})"]
        steps.append(f"Pillow image of mode {self.mode}")
        if self.shorter is None:
            steps.append(f"resize to height {height}, width {width}, Image.Resampling.BILINEAR")
        else:
            steps.append(
                f"resize the shorter side to {self.shorter}, the longer to int({self.shorter} * longer / shorter), "
                f"Image.Resampling.BILINEAR"
            )
            steps.append(f"cut {height} x {width} from round((height - {height}) / 2), round((width - {width}) / 2)")
        steps.append("(pixels / 255 - mean) / std, for each channel")
        rows = ": the rows are the channels" if self.layout == "NCL" else ""
        steps.append(f"float32 in the layout {self.layout}{rows}")
        return steps
