"""Where a built module comes from: it carries its program and its sizes, so that later passes need nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

    @property
    def kernel(self) -> Kernel:
        return Kernel.from_json(self.program)

    def mark(self, module: nn.Module) -> None:
        """Leave this on a module that was built from it."""
        setattr(module, _ATTRIBUTE, self)


def origin_of(module: nn.Module) -> Origin | None:
    """What a module was built from; None if `kas.build` did not make it."""
    found = getattr(module, _ATTRIBUTE, None)
    return found if isinstance(found, Origin) else None
