"""Checkpoints that are either there in full or not at all, and that run no code when they are read."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kas.evaluation._lightning import TorchCheckpointIO
from kas.language.errors import KasError

__all__ = ["AtomicCheckpoints", "read_checkpoint", "torch_bytes"]


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a temporary file in the same folder, flushes it to the disk, then renames it. Reads weights only.

    prefix: what the names of a module's own weights get in the file, so that every file has the network under `model.`.
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self.prefix = prefix

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(path)
        if self.prefix:
            state = {self.prefix + key: value for key, value in checkpoint["state_dict"].items()}
            checkpoint = {**checkpoint, "state_dict": state}
        target.parent.mkdir(parents=True, exist_ok=True)
        data = torch_bytes(checkpoint)
        handle, name = tempfile.mkstemp(prefix=target.name, suffix=".tmp", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} ({len(data) / 1e6:.1f} MB are needed)", str(target)) from None
        finally:
            Path(name).unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        loaded = read_checkpoint(Path(path))
        state = {key.removeprefix(self.prefix): value for key, value in loaded["state_dict"].items()}
        return {**loaded, "state_dict": state}


def torch_bytes(data: Any) -> bytes:
    """What torch.save writes; a file that cannot take it then gives an OSError, where torch.save gives a RuntimeError."""
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return buffer.getvalue()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as plain data and tensors, on the CPU. Raises KasError if it cannot be read as such."""
    try:
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes lead to
        raise KasError(f"{path} cannot be read as a checkpoint: {error}; remove it to train from the start") from error
    return loaded


def load_model(model: nn.Module, checkpoint: Path) -> nn.Module:
    """Load the network of a training's checkpoint into `model`, and return it."""
    state = read_checkpoint(checkpoint)["state_dict"]
    model.load_state_dict({key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")})
    return model
