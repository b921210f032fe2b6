"""Networks as files that kas writes and reads: what a file says of its network, how it is built again, `kas.load`."""

from __future__ import annotations

from kas.evaluation.networks.loading import CHECKPOINT_FORMAT, LoadedNetwork, load
from kas.evaluation.networks.metadata import FORMAT
from kas.evaluation.networks.recipe import Recipe, write_state

__all__ = ["CHECKPOINT_FORMAT", "FORMAT", "LoadedNetwork", "Recipe", "load", "write_state"]
