"""Looking at an exported program before torch does, whose loader unpickles, evaluates and looks up what a file says.

What kas writes needs none of it: tensors as bytes, a graph of torch's own operators, sizes that are sums and products. An
archive with anything else is refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from kas.language.errors import KasError
from kas.lowering.export import METADATA_FILE

__all__ = ["read_archive"]

_MEMBERS = re.compile(
    r"data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    rf"|models/model\.json|data/sample_inputs/model\.pt|extra/{re.escape(METADATA_FILE)}"
    r"|archive_format|archive_version|byteorder|\.data/\w+"
)
_OPERATORS = re.compile(r"(torch\.ops\.(aten|prims|higher_order)|_operator|math)\.\w+(\.\w+)?|torch\.sym_\w+")
_QUOTED = re.compile(r"'\w*'")
_WORD = re.compile(r"[A-Za-z_]\w*")
_SIZES = "Symbol positive nonnegative integer True False Integer Rational Add Mul Pow Mod PythonMod Max Min FloorDiv CeilDiv"
_CONDITIONS = "CleanDiv IntTrueDiv ModularIndexing Eq Ne Lt Le Gt Ge And Or Not oo int_oo L size and or not"
_WORDS = frozenset(f"{_SIZES} {_CONDITIONS}".split())


def read_archive(path: Path) -> Any:
    """The metadata of an exported program, None if it has none. Raises KasError if torch would run what the file says."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        said = members.get(f"extra/{METADATA_FILE}")
        if said is None:
            return None
        problem = _problem(members)
        metadata = json.loads(said)
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, OSError) as error:
        raise KasError(f"{path}: cannot be read as an exported program: {error}") from error
    if problem:
        raise KasError(f"{path}: is not as kas writes an exported program, and loading it could run code: it has {problem}")
    return metadata


def _problem(members: dict[str, bytes]) -> str | None:
    """The first thing that kas does not write and torch's loader would act on."""
    if odd := next((name for name in members if not _MEMBERS.fullmatch(name)), None):
        return f"the member {odd}"
    try:
        torch.load(io.BytesIO(members["data/sample_inputs/model.pt"]), weights_only=True)
    except Exception:  # torch.load raises whatever the bytes lead to
        return "sample inputs that are no tensors"
    for name, content in members.items():
        if name.endswith(".json"):
            for key, value in _items(json.loads(content)):
                if problem := _odd(key, value):
                    return problem
    return None


def _odd(key: str, value: Any) -> str | None:
    if key == "use_pickle" and value is not False:
        return "pickled tensors"
    if key == "nodes" and (odd := next((node["target"] for node in value if not _OPERATORS.fullmatch(node["target"])), None)):
        return f"the operator {odd}"
    texts = value if key == "guards_code" else [value] if key == "expr_str" else []
    for text in texts:
        if set(_WORD.findall(_QUOTED.sub("", text))) - _WORDS:
            return f"the expression {text}"
    return None


def _items(data: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _items(value)
    if isinstance(data, dict):
        yield from data.items()
