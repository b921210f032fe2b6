"""The canonical form of a kernel: what `Kernel.hash` and `Kernel.family` are taken over."""

from __future__ import annotations

from hashlib import blake2b

from kas.language.kernel import Kernel
from kas.language.normal.form import normal_form
from kas.language.normal.order import canonical_text

__all__ = ["kernel_family", "kernel_hash", "kernel_text"]

_VERSION = "kas.normal/1"


def kernel_text(kernel: Kernel) -> str:
    """The normal form as a text."""
    form = normal_form(kernel)
    return f"{_VERSION} rank {kernel.rank}: {canonical_text(form.graph, form.output)}"


def kernel_hash(kernel: Kernel) -> str:
    """16 hex digits, the same for kernels that are the same functions with the same trained parameters."""
    return blake2b(kernel_text(kernel).encode(), digest_size=8).hexdigest()


def kernel_family(kernel: Kernel) -> str:
    """16 hex digits, the same for kernels that fuse to the same form."""
    return blake2b(f"family {kernel_text(kernel)}".encode(), digest_size=8).hexdigest()
