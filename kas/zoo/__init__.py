"""Known kernels, as programs: the head of every search, and what its finds are compared with."""

from kas.zoo import attention, blocks, convolutions, gates, mixers, recalibration, sequences
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
    "gates",
    "get",
    "known_as",
    "known_hashes",
    "measured_distance",
    "mixers",
    "names",
    "recalibration",
    "sequences",
]
