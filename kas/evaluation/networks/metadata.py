"""What a file says of the network in it, as JSON types by name: format, kernel, weights, input, preprocessing, accuracy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kas.language.errors import KasError
from kas.lowering.export import ONNX_PREFIX

__all__ = ["FORMAT", "checked", "from_onnx"]

FORMAT = "kas.network/1"
_TEXTS = ("format", "version", "study", "kernel", "network", "weights")  # as they are in ONNX; all else is JSON there


def from_onnx(properties: Mapping[str, str]) -> dict[str, Any]:
    """The metadata among the properties of an ONNX file. Raises ValueError if one is no JSON."""
    found = {key.removeprefix(ONNX_PREFIX): text for key, text in properties.items() if key.startswith(ONNX_PREFIX)}
    return {key: text if key in _TEXTS else json.loads(text) for key, text in found.items()}


def checked(metadata: Any, path: Path) -> dict[str, Any]:
    """Metadata of the format that this kas reads. Raises KasError for a file of a newer kas, or that kas did not write."""
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if isinstance(found, str) and found.startswith("kas.network/") and found != FORMAT:
        raise KasError(f"{path}: is a network of a newer kas ({found}); this kas reads {FORMAT}: update kas")
    if found != FORMAT:
        raise KasError(f"{path}: is no network that kas wrote: its metadata has no format {FORMAT}")
    return dict(metadata)
