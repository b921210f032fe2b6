"""The canonical form of a kernel: what `Kernel.hash` and `Kernel.family` are taken over."""

from __future__ import annotations

from hashlib import blake2b

from kas.language.kernel import Kernel
from kas.language.normal.simple import canonical_text

__all__ = ["kernel_family", "kernel_hash"]

_VERSION = "kas.normal/1"


def kernel_hash(kernel: Kernel) -> str:
    """16 hex digits, the same for kernels that are the same functions with the same trained parameters."""
    return blake2b(f"{_VERSION} {canonical_text(kernel)}".encode(), digest_size=8).hexdigest()


def kernel_family(kernel: Kernel) -> str:
    """16 hex digits, the same for kernels that fuse to the same form."""
    return blake2b(f"{_VERSION} family {canonical_text(kernel)}".encode(), digest_size=8).hexdigest()
