"""A checkpoint is there in full or not at all, whatever happens while it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kas.evaluation import checkpoints
from kas.evaluation.checkpoints import AtomicCheckpoints, read_checkpoint


def test_a_write_that_fails_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "new" / "last.ckpt", torch.save
    AtomicCheckpoints().save_checkpoint({"epoch": 1}, path)

    def save(data: Any, file: Any) -> None:
        real(data, file)
        file.flush()
        assert read_checkpoint(path) == {"epoch": 1}  # somebody may read it meanwhile
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", save)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert read_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
