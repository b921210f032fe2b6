"""What the tests do not see: small faults, planted one at a time in a copy of kas, and whether a test fails.

    python tests/benchmarks/mutation.py evaluation [--seconds 3600] [--mutants 50] [--seed 0] [--results mutation.json]

A fault changes one place: a comparison, `and` or `or`, a `not`, arithmetic, a number, a truth value, a call whose arguments
change places, a statement that goes. Those of a package are drawn without replacement, the same for a seed. Each is met by
the test files that import its module and those of its package's folder, the quickest first, until one fails or hangs.

The results file keeps every fault and the seconds of each test file, so that a run goes on where the last one ended. A
fault that changes nothing anybody could see is given a `reason` there, by hand, and counts no more.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}  # fmt: skip
LEAST_S = 60.0  # a test file that takes longer than this, and five times as long as usual, hangs


@dataclass(frozen=True)
class Fault:
    """One fault: where it is, the line before and after, and the module with it."""

    module: Path
    line: int
    text: str
    source: str

    @property
    def key(self) -> str:
        """Its name in the results; another one where the module changes."""
        digest = hashlib.sha256(self.source.encode()).hexdigest()[:12]
        return f"{self.module.as_posix()}:{self.line} {digest}"


def faults(module: Path) -> Iterator[Fault]:
    """Every fault of a module (a path below the repository)."""
    text = (ROOT / module).read_text()
    for index in range(len(_places(ast.parse(text)))):
        tree = ast.parse(text)
        node, change = _places(tree)[index]
        before = ast.unparse(node)
        change()
        changed = ast.unparse(ast.fix_missing_locations(tree))
        yield Fault(module, node.lineno, f"{_short(before)}  →  {_short(ast.unparse(node))}", changed)


def _places(tree: ast.AST) -> list[tuple[Any, Callable[[], None]]]:
    """Nodes, each with what changes it where it stands."""
    return [(node, change) for node in _code(tree) for change in _changes(node)]


def _code(tree: ast.AST) -> Iterator[Any]:
    """The nodes that do something: no annotations, no decorators, no `__all__`, nothing for type checkers alone."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_aside(child):
                continue
            yield child
            yield from _code(child)


def _is_aside(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _changes(node: Any) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield lambda: node.ops.__setitem__(0, COMPARISONS[type(node.ops[0])]())
    elif isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield lambda: setattr(node, "op", ast.UAdd()) if isinstance(node.op, ast.USub) else _become(node, _truth(node.operand))
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC:
        yield lambda: setattr(node, "op", ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield lambda: setattr(node, "value", not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Call) and len(node.args) > 1 and not any(isinstance(a, ast.Starred) for a in node.args[:2]):
        yield lambda: node.args.__setitem__(slice(0, 2), node.args[1::-1])
    elif isinstance(node, (ast.Expr, ast.Raise)):
        yield lambda: _become(node, ast.Pass())


def _truth(node: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("bool", ast.Load()), [node], [])


def _become(node: ast.AST, other: ast.AST) -> None:
    """Make a node another, where it stands."""
    node.__class__ = other.__class__  # type: ignore[assignment]
    for name in [name for name in node.__dict__ if name not in ("lineno", "col_offset")]:
        del node.__dict__[name]
    node.__dict__.update(other.__dict__)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:87] + "..."


def tests_of(module: Path, seconds: dict[str, float]) -> list[str]:
    """The test files that can see a module: those that import it first, then the others of its package; quick ones first."""
    name, package = ".".join(module.with_suffix("").parts).removesuffix(".__init__"), module.parts[1]
    found = []
    for path in sorted((ROOT / "tests").glob("*/test_*.py")) + sorted((ROOT / "tests").glob("test_*.py")):
        direct = name in _imports(path)
        if direct or path.parent.name == package:
            file = path.relative_to(ROOT).as_posix()
            found.append((not direct, seconds.get(file, 0.0), file))
    return [file for _, _, file in sorted(found)]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


class Copy:
    """A copy of the repository in which faults are planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("kas", "tests", "studies", "docker"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, folder)

    def run(self, file: str, limit_s: float) -> tuple[str, float]:
        """Run a test file: `passed`, `failed` or `hung`, and the seconds."""
        options = ["-n", "0", "-x", "-q", "-p", "no:cacheprovider"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, file], cwd=self.folder, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            outcome = "failed" if process.wait(limit_s) not in (0, 5) else "passed"
        except subprocess.TimeoutExpired:
            outcome = "hung"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return outcome, time.monotonic() - start

    def meet(self, fault: Fault, seconds: dict[str, float]) -> dict[str, Any]:
        """Whether a test fails with the fault, and which."""
        place = self.folder / fault.module
        before = place.read_text()
        start = time.monotonic()
        try:
            for file in tests_of(fault.module, seconds):
                if file not in seconds:
                    place.write_text(before)
                    outcome, seconds[file] = self.run(file, 1800)
                    assert outcome == "passed", f"{file} {outcome} without any fault"
                place.write_text(fault.source)
                outcome, _ = self.run(file, max(LEAST_S, 5 * seconds[file]))
                if outcome != "passed":
                    return {"fault": fault.text, "killed": file, "how": outcome, "seconds": round(time.monotonic() - start)}
        finally:
            place.write_text(before)
        return {"fault": fault.text, "killed": None, "seconds": round(time.monotonic() - start)}


def report(met: dict[str, dict[str, Any]]) -> None:
    """The share of faults that a test sees, by package, and those that none does."""
    packages: dict[str, list[bool]] = {}
    for key, entry in met.items():
        if "reason" not in entry:
            packages.setdefault(Path(key).parts[1], []).append(entry["killed"] is not None)
    for package, seen in sorted(packages.items()):
        print(f"{package}: {sum(seen)} of {len(seen)} faults are seen ({sum(seen) / len(seen):.0%})")
    for key, entry in sorted(met.items()):
        if entry["killed"] is None:
            print(f"  {key.rsplit(' ', 1)[0]}: {entry['fault']}" + (f"  [{entry['reason']}]" if "reason" in entry else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", help="a package of kas: evaluation, study, replacement, reporting, solvers ...")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--mutants", type=int, default=10**9, help="the most faults that are planted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("mutation.json"))
    given = parser.parse_args()
    results = json.loads(given.results.read_text()) if given.results.exists() else {"tests": {}, "faults": {}}
    modules = sorted(path.relative_to(ROOT) for path in (ROOT / "kas" / given.package).rglob("*.py"))
    drawn = [fault for module in modules for fault in faults(module)]
    random.Random(given.seed).shuffle(drawn)
    left = [fault for fault in drawn if fault.key not in results["faults"]]
    print(f"{given.package}: {len(drawn)} faults, {len(drawn) - len(left)} of them met before")
    deadline = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory(prefix="kas-mutation-") as folder:
        copy = Copy(Path(folder))
        for fault in left[: given.mutants]:
            if time.monotonic() > deadline:
                break
            results["faults"][fault.key] = found = copy.meet(fault, results["tests"])
            given.results.write_text(json.dumps(results, indent=1))
            print(f"{fault.module}:{fault.line}: {fault.text}: {found['killed'] or 'SEEN BY NOBODY'}", flush=True)
    report(results["faults"])


if __name__ == "__main__":
    main()
