"""The passwords of storages, masked in every text that anybody reads: messages, logs, errors of drivers."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

__all__ = ["MASK", "masked"]

MASK = "***"
_USERINFO = re.compile(r"(://[^\s:/@]*):(\S*)@")  # `://USER:PASSWORD@`, up to the last @: a password may hold one by mistake
_OPTION = re.compile(r"(?i)\b(password|passwd|pwd|sslpassword)(\s*=\s*)([^\s&;,'\"]+)")  # `?password=...` of a URL or a driver


def masked(text: str, url: str | None = None) -> str:
    """The text without the passwords of the URLs in it, and without that of `url` wherever it stands.

    >>> masked("no connection to postgresql://me:secret@host/kas (secret)", "postgresql://me:secret@host/kas")
    'no connection to postgresql://me:***@host/kas (***)'
    """
    text = _OPTION.sub(rf"\1\2{MASK}", _USERINFO.sub(rf"\1:{MASK}@", text))
    for password in sorted(_passwords(url or ""), key=len, reverse=True):
        text = text.replace(password, MASK)
    return text


def _passwords(url: str) -> set[str]:
    """The password of a URL: as it is written, up to its first @ and up to its last one, and as the server gets it."""
    written = {match[3] for match in _OPTION.finditer(url)}
    for match in _USERINFO.finditer(url):
        written |= {match[2], match[2].partition("@")[0]}
    found = {decode(text) for text in written for decode in (str, unquote, unquote_plus)}
    return found - {"", MASK}
