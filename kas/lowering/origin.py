"""Where a built module comes from: it carries its program and its sizes, so that later passes need nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kas.language.kernel import Kernel

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Origin", "origin_of"]

_ATTRIBUTE = "kas_origin"


@dataclass(frozen=True)
class Origin:
    """The arguments of `kas.build`; the program as its canonical JSON text, which copies with the module."""

    program: str
    channels: int
    size: tuple[int, ...]
    groups: int = 1
    values: dict[str, int] = field(default_factory=dict)
    lowering: str = "optimized"

    @property
    def kernel(self) -> Kernel:
        return Kernel.from_json(self.program)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """All of it as strings, numbers and tuples, from which `of_arguments` makes it again."""
        values = tuple(self.values.items())
        return self.program, self.channels, self.size, self.groups, values, self.lowering

    @classmethod
    def of_arguments(cls, arguments: tuple[Any, ...]) -> Origin:
        program, channels, size, groups, values, lowering = arguments
        return cls(program, channels, size, groups, dict(values), lowering)

    def mark(self, module: nn.Module) -> None:
        """Leave this on a module that was built from it."""
        setattr(module, _ATTRIBUTE, self)


def origin_of(module: nn.Module) -> Origin | None:
    """What a module was built from; None if `kas.build` did not make it."""
    found = getattr(module, _ATTRIBUTE, None)
    return found if isinstance(found, Origin) else None
