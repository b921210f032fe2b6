"""What `measure` found later, perhaps on another machine: one measurement for a device, runtime, batch and thread count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kas.reporting.parsing import loads, number, text
from kas.reporting.rows import Timing, read_timing

__all__ = ["Measurement", "read_measurement"]


@dataclass(frozen=True)
class Measurement:
    """Kernels of a study against its original in one runtime. kernels: by hash. time: when it ended, ISO 8601."""

    device: str
    runtime: str
    version: str | None
    batch_size: int | None
    threads: int | None
    time: str | None
    kernels: Mapping[str, Timing]

    @property
    def conditions(self) -> str:
        """Runtime, batch and threads in words."""
        threads = "" if self.threads is None else f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        batch = "" if self.batch_size is None else f"batch {self.batch_size}"
        named = self.version or self.runtime
        runtime = named if self.runtime in named else f"{self.runtime} ({named})"
        return ", ".join(part for part in (runtime, batch, threads) if part)


def read_measurement(data: Any) -> Measurement | None:
    """A measurement from its JSON data; None if it is something else. What is missing or of another type is None."""
    found = loads(data)
    device, runtime = text(found.get("device")), text(found.get("runtime"))
    if device is None or runtime is None:
        return None
    batch, threads = number(found.get("batch_size")), number(found.get("threads"))
    return Measurement(
        device=device,
        runtime=runtime,
        version=text(found.get("version")),
        batch_size=None if batch is None else int(batch),
        threads=None if threads is None else int(threads),
        time=text(found.get("time")),
        kernels={str(key): read_timing(value) for key, value in loads(found.get("kernels")).items()},
    )
