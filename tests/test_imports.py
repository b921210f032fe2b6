"""The structure of the package: one direction of imports, short modules, no torch where it is not needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kas

ROOT = Path(kas.__file__).parent
ORDER = ["language", "zoo", "solvers", "generation", "generated", "lowering", "replacement", "evaluation", "reporting", "study"]
# The folders of `study`, each of which may import those before it; "" for the modules beside them.
ROOMS = ["", "storage", "display", "workers", "commands", "calls"]
MODULES = sorted(ROOT.rglob("*.py"))
LONGEST = 250
WITHOUT_TORCH = [
    "kas",
    "kas.language",
    "kas.zoo",
    "kas.solvers",
    "kas.generation",
    "kas.evaluation",
    "kas.evaluation.runtimes",
    "kas.evaluation.settings",
    "kas.reporting",
    "kas.study",
    "kas.study.config",
    "kas.study.storage.records",
    "kas.study.storage.opening",
]
# How a kernel is shown is a public matter of the language's class, which loads it when it is asked for.
LATE = {("kas.language.kernel", "kas.lowering.drawing"), ("kas.language.kernel", "kas.lowering.labels")}
HEAVY = ("torch", "torchvision", "torchmetrics", "pytorch_lightning")


def label(path):
    return str(path.relative_to(ROOT))


def module_name(path):
    """`kas/a/b.py` → `kas.a.b`; a package is its folder."""
    parts = ("kas", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree, name, is_package):
    """Every `kas…` name that a module imports, at any depth of functions and conditions: (line, dotted name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: None if is_package else -1]
            start = ".".join(base[: len(base) - node.level + 1]) + "." if node.level else ""
            found = [(start + (node.module or "")).rstrip(".") + "." + alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            found = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        else:
            continue
        yield from ((node.lineno, dotted) for dotted in found if dotted.split(".")[0] == "kas")


def backward_imports(source, name, is_package=False):
    """The imports of a module that its package must not make, as texts."""
    parts = name.split(".")
    if len(parts) == 1:  # kas itself offers the public calls of all packages
        return []
    allowed = ORDER[: ORDER.index(parts[1]) + 1]
    wrong = []
    for line, dotted in imported(ast.parse(source), name, is_package):
        if dotted == "kas.__version__" or (name, dotted) in LATE:
            continue
        home = kas._HOMES.get(dotted.removeprefix("kas."), dotted)  # a public call counts as its package
        package = [*home.split("."), "study"][1]  # kas as a whole reaches everywhere, as only study may
        if package not in allowed:
            wrong.append(f"{name}, line {line}: imports {dotted}; {parts[1]} may import {', '.join(allowed)}")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_packages_import_one_way(path):
    assert backward_imports(path.read_text("utf-8"), module_name(path), path.name == "__init__.py") == []


def room(name):
    """The room of `kas.study` that a dotted name leads to; "" for a module of the folder itself."""
    part = [*name.split("."), "", ""][2]
    return part if part in ROOMS else ""


def test_the_rooms_of_a_study_import_one_way():
    wrong = []
    for path in sorted((ROOT / "study").rglob("*.py")):
        name = module_name(path)
        if name == "kas.study.__main__":  # the command
            continue
        allowed = ROOMS[: ROOMS.index(room(name)) + 1]
        found = imported(ast.parse(path.read_text("utf-8")), name, path.name == "__init__.py")
        wrong += [(label(path), line, dotted) for line, dotted in found if "study" in dotted and room(dotted) not in allowed]
    assert wrong == []


def test_torchvision_is_made_importable_before_what_imports_it():
    """Lightning and torchmetrics import torchvision: a module that imports them must have `_lightning` do its work first."""
    wrong = []
    for path in MODULES:
        ready = path.name == "_lightning.py"
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ready |= any(name.startswith(("kas.evaluation._lightning", "kas.replacement")) for name in names)
            heavy = any(name.split(".")[0] in ("pytorch_lightning", "torchmetrics", "torchvision") for name in names)
            wrong += [(label(path), node.lineno)] if heavy and not ready else []
    assert wrong == []


def test_every_room_of_a_study_has_its_place():
    assert {path.parent.name for path in (ROOT / "study").glob("*/__init__.py")} <= set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_modules_are_short(path):
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= LONGEST, f"{label(path)} has {lines} lines; a module has at most {LONGEST}"


def test_every_package_has_its_place():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(ORDER)


@pytest.mark.parametrize(
    ("source", "backward"),
    [
        ("import kas.language.dims, torch", False),
        ("from kas.solvers import targets", False),
        ("from kas.solvers.targets import Target", False),
        ("from . import budget", False),
        ("from ..language import dims", False),
        ("from kas import __version__", False),
        ("from kas import zoo", False),
        ("import kas", True),
        ("from kas import build", True),
        ("from kas import cost", False),
        ("from kas.lowering import build", True),
        ("from ..lowering import build", True),
        ("def f():\n    from kas.study import config", True),
        ("if TYPE_CHECKING:\n    from kas.generation import sample", True),
        ("importlib.import_module('kas.lowering.build')", True),
    ],
)
def test_the_check_itself(source, backward):
    assert bool(backward_imports(source, "kas.solvers.module")) is backward


def loaded_by(code):
    """Which heavy packages a fresh interpreter has loaded after `code`, and whatever it printed on stderr."""
    check = f"\nimport sys\nprint('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + check], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("loaded:")[2].split()


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_imports_without_torch(name):
    assert loaded_by(f"import {name}") == []


def test_help_without_torch():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['kas.study', '--help']\n"
        "try:\n"
        "    runpy.run_module('kas.study', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
    )
    assert loaded_by(code) == []
