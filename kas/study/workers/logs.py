"""The log of a study: every worker appends to one file, and no line of it holds a password."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kas.study.storage.masking import masked

__all__ = ["logging_to"]


class _Formatter(logging.Formatter):
    """Lines of the log, tracebacks included, without the password of the storage."""

    def __init__(self, url: str | None) -> None:
        super().__init__("%(asctime)s %(process)d %(levelname)s %(message)s")
        self._url = url

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record), self._url)


@contextmanager
def logging_to(path: Path, url: str | None) -> Iterator[None]:
    """Append what kas logs to a file, with the time and the process. url: of the storage, whose password is masked."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.handleError = _lost  # type: ignore[method-assign]
    handler.setFormatter(_Formatter(url))
    logger = logging.getLogger("kas")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def _lost(record: logging.LogRecord) -> None:
    """A line that cannot be written, as the disk is full; what matters more meets that as well, and says so."""
