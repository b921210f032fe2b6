"""Known kernels, as programs: the head of every search, and what its finds are compared with."""

from kas.zoo import (
    attention,
    blocks,
    convolutions,
    factorised,
    gates,
    heads,
    mixers,
    reassembly,
    recalibration,
    residuals,
    sequences,
    shifts,
    windows,
)  # fmt: skip
from kas.zoo._registry import UNSAID, Known, entry, get, names
from kas.zoo.distance import Distance, edit_distance, measured_distance
from kas.zoo.matching import known_as, known_hashes

__all__ = [
    "UNSAID",
    "Distance",
    "Known",
    "attention",
    "blocks",
    "convolutions",
    "edit_distance",
    "entry",
    "factorised",
    "gates",
    "get",
    "heads",
    "known_as",
    "known_hashes",
    "measured_distance",
    "mixers",
    "names",
    "reassembly",
    "recalibration",
    "residuals",
    "sequences",
    "shifts",
    "windows",
]
