"""The examples in docstrings are run, and every public call has one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import pytest

import kas

ROOT = Path(kas.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if ">>>" in path.read_text("utf-8"))
PUBLIC = [*(name for name in kas.__all__ if name != "zoo"), "zoo.get", "zoo.names"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(("kas", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_call_has_an_example(name: str) -> None:
    call: Any = kas
    for part in name.split("."):
        call = getattr(call, part)
    methods = vars(call).values() if isinstance(call, type) else ()
    texts = [call.__doc__ or "", *(getattr(value, "__doc__", None) or "" for value in methods)]
    assert any(">>>" in text for text in texts)
