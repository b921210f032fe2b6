"""What the budget solver answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Sizes"]


@dataclass(frozen=True)
class Sizes:
    """Integers for a kernel at every target, and what it then costs.

    Attributes:
        groups: G, one for all targets; 1 where the kernel has no G.
        values: the free variables of each target, by its name.
        macs, params: of all targets together, their adapters and repeated templates included.
        memory: peak bytes of activations, of the target where it is highest.
        work: macs + elementwise / 2.
        use: how much of each limit is used, 0 to 1. For a key with a minimum only: minimum over cost.
        exact: whether no other integers could be better.
        gap: if not exact, how much more of the tighter limit could be used at most (a proven bound); else 0.
    """

    groups: int
    values: dict[str, dict[str, int]]
    macs: int
    params: int
    memory: int
    work: float
    use: dict[str, float]
    exact: bool = True
    gap: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; `from_dict` gives equal sizes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sizes:
        """The sizes that `to_dict` wrote."""
        return cls(**data)
