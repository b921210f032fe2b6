"""Known kernels, as programs: the head of every search, and what its finds are compared with."""

from kas.zoo import attention, blocks, convolutions, gates, mixers, recalibration, sequences
from kas.zoo._registry import UNSAID, Known, entry, get, names

__all__ = [
    "UNSAID",
    "Known",
    "attention",
    "blocks",
    "convolutions",
    "entry",
    "gates",
    "get",
    "mixers",
    "names",
    "recalibration",
    "sequences",
]
