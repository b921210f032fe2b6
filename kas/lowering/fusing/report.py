"""What fusing did, for people and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Fused", "fused_parts", "mark"]

_ATTRIBUTE = "fused"


@dataclass(frozen=True)
class Fused:
    """One part of a module that became cheaper.

    Attributes:
        name: qualified name of the module that stands there now; empty for the whole.
        before, after: what was and what is computed, in words.
        price_before, price_after: of the linear steps, for one sample: MACs, and 16 for each element that passes through
            memory (`kas.lowering.fusing.pricing`); None where the size of what is read is not known.
    """

    name: str
    before: str
    after: str
    price_before: float | None = None
    price_after: float | None = None

    def __str__(self) -> str:
        where = f"{self.name}: " if self.name else ""
        text = f"{where}{self.before} -> {self.after}"
        if self.price_before is None or self.price_after is None:
            return text
        return f"{text} ({self.price_after / max(self.price_before, 1):.2f} of the price)"


def mark(module: nn.Module, parts: tuple[Fused, ...]) -> nn.Module:
    """Leave the report on a fused module as its attribute `fused`."""
    setattr(module, _ATTRIBUTE, parts)
    return module


def fused_parts(module: nn.Module) -> tuple[Fused, ...]:
    """What `kas.fuse` did to make this module; empty if nothing."""
    found = getattr(module, _ATTRIBUTE, ())
    return found if isinstance(found, tuple) else ()
