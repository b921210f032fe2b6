"""A command that loads torch has a line on the screen before it does."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.system
@pytest.mark.parametrize("words", [["check", "none.yaml"], ["export", "none", "--kernel=3f2a", "--to=py"], ["resume", "none"]])
def test_a_line_stands_before_torch_is_loaded(words: list[str], tmp_path: Path) -> None:
    """The order of events, on a pseudo terminal: python itself says there what it imports, and when."""
    own, screen = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "kas.study", *words], stdout=screen, stderr=screen, cwd=tmp_path
    )
    os.close(screen)
    seen = b""
    try:
        while part := os.read(own, 1 << 16):
            seen += part
    except OSError:  # the other side of a pseudo terminal is closed
        pass
    os.close(own)
    assert process.wait(60) == 2
    lines = seen.decode().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{words[0]}: loading torch"))
    torch = [number for number, line in enumerate(lines) if line.endswith("| torch")]
    assert all(first < number for number in torch)
