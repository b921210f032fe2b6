"""What the budget solver answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

__all__ = ["Sizes"]


@dataclass(frozen=True)
class Sizes:
    """Integers for a kernel at every target, and what it then costs.

    Attributes:
        groups: G, one for all targets; 1 where the kernel has no G.
        values: the free variables of each target, by its name.
        macs, params: of all targets together, their adapters and repeated templates included.
        memory: peak bytes of activations, of the target where it is highest (worked out when it is first read).
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

    @classmethod
    def late(cls, memory: Callable[[], int], **known: Any) -> Sizes:
        """Sizes whose memory is worked out when it is first read."""
        sizes = object.__new__(cls)
        sizes.__dict__.update(known, _memory=memory)
        return sizes

    if not TYPE_CHECKING:  # else any name would pass for an attribute

        def __getattr__(self, name: str) -> int:
            """The memory, once: then it is an attribute as any other."""
            if name != "memory" or "_memory" not in self.__dict__:
                raise AttributeError(f"Sizes has no attribute {name!r}")
            found = self.__dict__["memory"] = self.__dict__.pop("_memory")()
            return found

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what is copied or sent to another process is worked out first."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
