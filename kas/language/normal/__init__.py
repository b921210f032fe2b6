"""The canonical form of a kernel: what `Kernel.hash` and `Kernel.family` are taken over.

A program is read into a graph without views and names of axes (`reading`, `layout`, `graph`), which the one table of rules
(`rules`) rewrites while it grows; a walk from the output writes it as a text (`order`). The family goes on from there: linear
maps merge (`fusion`). Equal hash: the same functions and the same trained parameters, under a bijection of the weight tensors
up to view and a constant factor; where that is in doubt, kernels stay apart. Equal hash implies equal family.
"""

from __future__ import annotations

from hashlib import blake2b

from kas.language.kernel import Kernel
from kas.language.normal.form import normal_form
from kas.language.normal.fusion import fused_text
from kas.language.normal.order import canonical_text

__all__ = ["family_text", "kernel_family", "kernel_hash", "kernel_text"]

_VERSION = "kas.normal/1"


def kernel_text(kernel: Kernel) -> str:
    """The normal form as a text."""
    form = normal_form(kernel)
    return f"{_VERSION} rank {kernel.rank}: {canonical_text(form.graph, form.output)}"


def family_text(kernel: Kernel) -> str:
    """The fused form as a text."""
    return f"{_VERSION} family rank {kernel.rank}: {fused_text(normal_form(kernel))}"


def kernel_hash(kernel: Kernel) -> str:
    """16 hex digits, the same for kernels that are the same functions with the same trained parameters."""
    return _digest(kernel_text(kernel))


def kernel_family(kernel: Kernel) -> str:
    """16 hex digits, the same for kernels that fuse to the same form."""
    return _digest(family_text(kernel))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
