"""Reading the compose files as Docker Compose does: merged anchors, variables from an environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
FILES = ("compose.yaml", "compose.cuda.yaml")
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<word>[^}]*))?\}")


class Missing(Exception):
    """A required variable has no value; the message is the file's own."""


def raw(name: str = "compose.yaml") -> dict[str, Any]:
    """A compose file with its variables as written."""
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    return loaded


def filled(value: Any, environment: Mapping[str, str]) -> Any:
    """`${NAME:-default}` and `${NAME:?message}` replaced everywhere. Raises Missing for a required one without a value."""
    if isinstance(value, dict):
        return {key: filled(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, environment) for item in value]
    return _VARIABLE.sub(lambda match: _value(match, environment), value) if isinstance(value, str) else value


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    value = environment.get(match["name"]) or ""
    if not value and match["kind"] == ":?":
        raise Missing(f"{match['name']}: {match['word']}")
    return value or (match["word"] if match["kind"] == ":-" else "") or ""


def strings(value: Any) -> list[str]:
    """Every text in a value, keys not included."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []
