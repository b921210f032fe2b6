"""For all tests: one torch thread each, since as many test processes run as there are cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
