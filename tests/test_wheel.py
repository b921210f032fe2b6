"""The built wheel by itself: installed where no checkout is, the command runs a study that comes with it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import kas

pytestmark = pytest.mark.system

ROOT = Path(kas.__file__).parents[1]
SHORT = [
    "training.epochs=1", "data.train_samples=60", "data.val_samples=30", "model.args={width: 4, stages: 2}", "cost.model={}",
    "cost.batch_size=2", "cost.size=8", "objectives.cost=work", "health.enabled=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that has the wheel, and all else from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "kas", source / "kas", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "studies", source / "studies", ignore=shutil.ignore_patterns("results", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source)]
    subprocess.run(build, check=True, timeout=300)
    venv.create(folder / "env", with_pip=False)
    paths = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    site = Path(sysconfig.get_path("purelib", "venv" if "venv" in sysconfig.get_scheme_names() else None, paths))
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    target = [*pip, "--python", str(folder / "env"), "install", "-q", "--no-deps", "--no-index", "--force-reinstall"]
    subprocess.run([*target, *map(str, folder.glob("kas-*.whl"))], check=True, timeout=300)
    return folder / "env" / "bin"


def run(installed: Path, folder: Path, *arguments: str, code: int = 0) -> str:
    """What the command says, from a folder with nothing in it and none of this process' paths."""
    folder.mkdir(exist_ok=True)
    words, own = [installed / "kas", *arguments], {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=folder, env=own)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_study_that_comes_with_it(installed: Path, tmp_path: Path) -> None:
    sets = [f"--set={key}" for key in SHORT]
    assert "1 of 1 trials are finished" in run(installed, tmp_path / "empty", "run", "digits", "--trials=1", *sets)
    assert [path.name for path in (tmp_path / "empty" / "runs").iterdir()] == ["digits"]
    assert "digits" in run(installed, tmp_path / "empty", "list")


def test_what_it_says_of_itself(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "--version") == f"kas {kas.__version__}\n"
    assert "usage: kas [-h]" in run(installed, tmp_path, "--help")
    mistyped = run(installed, tmp_path, "run", "digts", code=2)
    names = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
    assert re.search(r"digts: no such file, .*did you mean digits\?; there are ", mistyped)
    assert ", ".join(names) in mistyped
