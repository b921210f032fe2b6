"""Long lines of generated code, broken within brackets as a formatter would."""

from __future__ import annotations

__all__ = ["wrapped"]

_OPEN, _CLOSE = "([{", ")]}"


def wrapped(line: str, longest: int = 112) -> list[str]:
    """A line of Python in pieces: what is between its longest outer brackets on lines of its own. Strings have no brackets."""
    if len(line) <= longest:
        return [line]
    pairs = _outer_pairs(line)
    if not pairs:
        return [line]
    start, end = max(pairs, key=lambda pair: pair[1] - pair[0])
    if end - start < 20:
        return [line]
    head, inner, tail = line[: start + 1], line[start + 1 : end], line[end:]
    call = head[-2:-1].isidentifier()  # elsewhere a comma would make a tuple
    listed = head[-1] == "[" and head[-2:-1] in ("", "(", " ") and " for " not in inner
    parts = [f"{part}," for part in _parts(inner)] if (call or listed) and len(inner) + 4 > longest else [inner]
    return [head, *(f"    {piece}" for part in parts for piece in wrapped(part, longest - 4)), *wrapped(tail, longest)]


def _outer_pairs(line: str) -> list[tuple[int, int]]:
    """The positions of the brackets that are in no others."""
    pairs, depth, start = [], 0, 0
    for at, sign in enumerate(line):
        if sign in _OPEN:
            start = at if depth == 0 else start
            depth += 1
        elif sign in _CLOSE:
            depth -= 1
            if depth == 0:
                pairs.append((start, at))
            if depth < 0:  # the rest of a line that was broken before: its first bracket closes one above
                depth = 0
    return pairs


def _parts(inner: str) -> list[str]:
    """The arguments of a call; a comma within a string parts nothing."""
    parts, depth, start, quote = [], 0, 0, ""
    for at, sign in enumerate(inner):
        if sign in "\"'":
            quote = "" if sign == quote else quote or sign
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if sign == "," and depth == 0 and not quote:
            parts.append(inner[start:at].strip())
            start = at + 1
    return [*parts, inner[start:].strip()]
