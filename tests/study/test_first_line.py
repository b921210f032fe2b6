"""A command that loads torch has a line on the screen before it loads anything that takes time."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = re.compile(r"\| +(torch|optuna|rich|jsonargparse)\b")


@pytest.mark.system
@pytest.mark.parametrize("name", ["run", "resume", "check", "promote", "export", "measure"])
def test_a_line_stands_before_anything_is_loaded(name: str, tmp_path: Path) -> None:
    """The order of events on a pseudo terminal, where Python itself writes what it has imported."""
    own, screen = pty.openpty()
    words = [sys.executable, "-X", "importtime", "-m", "kas.study", name, "none.yaml"]
    process = subprocess.Popen(words, stdout=screen, stderr=screen, cwd=tmp_path)
    os.close(screen)
    seen = ""
    try:
        while not SLOW.search(seen):
            seen += os.read(own, 1 << 16).decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(own)
    loaded = SLOW.search(seen)
    assert loaded is not None
    assert f"{name}: loading" in seen[: loaded.start()]
