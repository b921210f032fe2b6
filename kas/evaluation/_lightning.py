"""PyTorch Lightning, imported so that it works whatever torchvision was built for, and says nothing of its own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from kas.replacement._torchvision import ensure_importable

ensure_importable()  # of torchvision, which Lightning's metrics import
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of packages that Lightning imports
    import pytorch_lightning as pl
    from pytorch_lightning.plugins.io import TorchCheckpointIO

__all__ = ["TorchCheckpointIO", "pl", "quiet"]

# Lightning's advice about things that are meant (our sets are in memory and need no loader processes, there is no logger
# that could miss a step, and a frozen original has nothing to train), and its own use of a name that torch is about to drop.
_MEANT = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*have no `logger` configured.*",
    ".*this fit will run with no optimizer.*",
    ".*`training_step` returned `None`.*",
    ".*no gradient clipping will occur.*",
    ".*LeafSpec.* is deprecated.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Lightning's start-up lines, tips and the advice named above; all other warnings come through."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            for message in _MEANT:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
