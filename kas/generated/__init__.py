"""Where source that was generated from a checked program becomes a module: `kas.generated.NAME`, importable in this process.

A module can be imported by its name as long as anything made from it exists; another process makes it anew from the program
(`kas.lowering.building`). Nothing here reads a file. Source of the same text is loaded once.
"""

from __future__ import annotations

import importlib
import linecache
import sys
import weakref
from collections import deque
from hashlib import sha256
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["load"]

_KEPT = 1024  # modules that stay in `sys.modules`; older ones live as long as they are used


def load(text: str, name: str) -> type[Any]:
    """The class `name` of a source text that this package's callers have just generated; equal texts share it.

    Its module is `kas.generated.NAME_DIGEST`, with the digest of the text.
    """
    full = f"{__name__}.{name}_{sha256(text.encode()).hexdigest()[:16]}"
    loader = _loaders.get(full) or _loaders.setdefault(full, _TextLoader(text))
    if loader.module is None:
        importlib.import_module(full)
    found = vars(loader.module)[name]
    assert isinstance(found, type)
    return found


class _TextLoader(Loader):
    """Runs the text of a module once; its module holds it, and it holds its module."""

    module: ModuleType | None = None

    def __init__(self, text: str) -> None:
        self.text = text

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.module  # None at first: an empty one

    def exec_module(self, module: ModuleType) -> None:
        if self.module is None:
            file = f"<{module.__name__}>"
            module.__file__ = file
            exec(compile(self.text, file, "exec", dont_inherit=True), vars(module))
            self.module = module
            # For tracebacks, `inspect` and torch's script compiler.
            linecache.cache[file] = (len(self.text), None, self.text.splitlines(keepends=True), file)
            weakref.finalize(module, linecache.cache.pop, file, None)
        _keep(module.__name__)

    def get_source(self, fullname: str) -> str:
        return self.text


class _Finder(MetaPathFinder):
    """Finds the modules of this package that exist."""

    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        loader = _loaders.get(fullname)
        return None if loader is None else ModuleSpec(fullname, loader)


_loaders: weakref.WeakValueDictionary[str, _TextLoader] = weakref.WeakValueDictionary()
_latest: deque[str] = deque()
sys.meta_path.append(_Finder())


def _keep(name: str) -> None:
    """Enter a module among the latest, and let the oldest go."""
    _latest.append(name)
    while len(_latest) > _KEPT:
        oldest = _latest.popleft()
        sys.modules.pop(oldest, None)
        globals().pop(oldest.rpartition(".")[2], None)  # where the import system puts a submodule
