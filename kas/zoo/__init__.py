"""Known kernels, as programs: the head of every search, and what its finds are compared with."""

from kas.zoo import attention, convolutions, sequences
from kas.zoo._registry import Known, entry, get, names

__all__ = ["Known", "attention", "convolutions", "entry", "get", "names", "sequences"]
