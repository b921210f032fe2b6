"""Whole networks in their inference form: kernels, adapters, convolutions, and the BatchNorms behind them."""

from kas.replacement.fusing.networks import fuse

__all__ = ["fuse"]
