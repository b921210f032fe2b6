"""What the budget solver answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

__all__ = ["Rest", "Sizes"]


class Rest(Protocol):
    """The fields of sizes that are worked out when they are first read."""

    def memory(self) -> int: ...

    def work(self) -> float: ...

    def values(self) -> dict[str, dict[str, int]]: ...


_LATE = ("memory", "work", "values")


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

    @classmethod
    def late(cls, rest: Rest, **known: Any) -> Sizes:
        """Sizes of which `rest` knows the memory, the work and the values, to be worked out when they are first read."""
        sizes = object.__new__(cls)
        sizes.__dict__.update(known, _rest=rest)
        return sizes

    @property
    def rest(self) -> Rest | None:
        """What the sizes were made of, None where they were read from a file."""
        return self.__dict__.get("_rest")

    if not TYPE_CHECKING:  # else any name would pass for an attribute

        def __getattr__(self, name: str) -> Any:
            """A field that is worked out, once: then it is an attribute as any other."""
            if name not in _LATE or "_rest" not in self.__dict__:
                raise AttributeError(f"Sizes has no attribute {name!r}")
            found = self.__dict__[name] = getattr(self.__dict__["_rest"], name)()
            return found

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what is copied or sent to another process is worked out first."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
