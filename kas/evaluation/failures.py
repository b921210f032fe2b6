"""Turning what torch raises when memory runs out into one typed error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kas.evaluation.outcomes import OutOfMemory

__all__ = ["memory_errors"]


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Raises OutOfMemory, "out of memory while `doing`", for torch's and Python's own memory errors."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        failure = OutOfMemory(f"out of memory while {doing}: {str(error).splitlines()[0] if str(error) else 'no details'}")
    else:
        return
    if torch.cuda.is_available():  # after the traceback, which holds the tensors, is gone
        torch.cuda.empty_cache()
    raise failure


def _is_memory(error: BaseException) -> bool:
    # The CPU allocator has no exception class of its own; its name in the message is all there is.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)
