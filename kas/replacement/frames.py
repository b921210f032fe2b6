"""An exception in the user's own code, told with the user's frames and one line of ours."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kas.language.errors import KasError

__all__ = ["in_user_code", "user_frames"]

T = TypeVar("T")
_OURS = (str(Path(__file__).parents[1]), *{sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})


def user_frames(error: BaseException) -> str:
    """The frames of an exception that are neither kas' nor an installed package's, as Python writes them; each on new lines."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith((*_OURS, "<"))]
    return "".join("\n" + line.rstrip() for line in traceback.format_list(frames))


def in_user_code(where: str, function: Callable[[], T]) -> T:
    """What a function of the user's returns. Raises KasError with the user's frames for whatever it raises."""
    try:
        return function()
    except (KasError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise KasError(f"{where} raised {type(error).__name__}: {error}{user_frames(error)}") from error
