"""For all tests: one torch thread each, since as many test processes run as there are cores; no deadline for an example."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("kas", deadline=None)  # a busy machine would fail what is right
settings.load_profile("kas")
