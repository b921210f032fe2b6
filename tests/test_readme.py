"""Every command and every script of the README is run. The searches run shortened; what follows sees their results."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import kas

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "bash" for line in block.strip().splitlines()]
SCRIPTS = [block for language, block in BLOCKS if language == "python"]

# A search is shortened by these; its command is otherwise the README's.
SHORT = (
    "--trials=3", "--set=training.epochs=1", "--set=data.train_samples=200", "--set=data.val_samples=100",
    "--set=cost.size=16", "--set=cost.batch_size=2", "--set=cost.repeats=4", "--set=cost.max_ratio=50",
    "--set=cost.other_runtimes=false",
)  # fmt: skip
# Commands that other tests run, because they need what this one must not start twice.
ELSEWHERE = {
    "-m pytest": "this very run",
    "--storage postgresql": "tests/docker/test_services.py, on a real PostgreSQL server",
    "--storage grpc": "tests/study/test_proxy.py, with a proxy in front of a database",
    "docker compose": "tests/docker, on the same commands without containers",
}


def command_words(command: str) -> list[str]:
    """The words after the interpreter: the first command makes its own environment, which .ci/run does too."""
    words = shlex.split(command.split("&&")[-1])
    assert Path(words[0]).name == "python", command
    return words[1:]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in, with the study files where the README expects them."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "studies").symlink_to(ROOT / "studies")
    return folder


def run(words: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=place, env=environment, capture_output=True, text=True, timeout=500)


def shortened(command: str) -> list[str]:
    words = command_words(command)
    return [*words, *SHORT] if "run" in words[:3] else words


@pytest.fixture(scope="module")
def searched(place: Path) -> Path:
    """After the README's first search."""
    first = next(command for command in COMMANDS if "run studies/digits.yaml" in command)
    done = run(shortened(first), place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "original" in done.stdout
    return place


def test_each_command_is_known_here() -> None:
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        if not any(part in command for part in ELSEWHERE):
            assert "kas.study" in command, f"no test runs this command of the README: {command}"


def test_the_two_commands_make_their_environment_in_one_line() -> None:
    assert COMMANDS[0].startswith("python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python -m kas.study run")
    assert COMMANDS[1] == 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python -m pytest'


QUICK = [
    command
    for command in COMMANDS
    if "kas.study" in command
    and " run " not in command
    and "dashboard" not in command
    and not any(part in command for part in ELSEWHERE)
]


@pytest.mark.parametrize("command", QUICK)
def test_commands_on_a_study(command: str, searched: Path) -> None:
    kernels = sorted((searched / "runs/digits/kernels").glob("*.json"))
    words = [kernels[0].stem if word == "HASH" else word for word in command_words(command)]
    done = run(words, searched)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_a_search_leaves_the_files_that_the_readme_names(searched: Path) -> None:
    for ending in (".json", ".py", ".svg", ".ckpt"):
        assert list((searched / "runs/digits/kernels").glob(f"*{ending}")), ending


def test_a_kernel_of_a_search_runs_on_its_own_with_torch_alone(searched: Path) -> None:
    source = sorted((searched / "runs/digits/kernels").glob("*.py"))[0]
    assert not re.search(r"^\s*(import|from) (?!torch|__future__|math)", source.read_text(), re.MULTILINE)
    done = run([str(source)], searched)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_answers_on_this_machine(searched: Path) -> None:
    words = command_words(next(command for command in COMMANDS if "dashboard digits" in command))
    process = subprocess.Popen(
        [sys.executable, *words, "--port", "18123"], cwd=searched, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for _ in range(60):
            time.sleep(1)
            try:
                with urllib.request.urlopen("http://127.0.0.1:18123/api/studies", timeout=5) as answer:
                    assert b"digits" in answer.read()
                break
            except OSError:
                assert process.poll() is None, process.stdout.read() if process.stdout else ""
        else:
            pytest.fail("the dashboard did not answer within a minute")
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout:
            process.stdout.close()


RUNS = [command for command in COMMANDS[1:] if " run " in command and not any(part in command for part in ELSEWHERE)]


@pytest.mark.slow
@pytest.mark.parametrize("command", RUNS)
def test_other_searches(command: str, place: Path, tmp_path: Path) -> None:
    done = run([*shortened(command), "--dir", str(tmp_path)], place)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script: str, place: Path) -> None:
    done = run(["-c", script], place)
    assert done.returncode == 0, done.stderr


def test_the_script_with_optuna_is_short() -> None:
    script = next(script for script in SCRIPTS if "suggest_kernel" in script)
    assert sum(bool(line.strip()) for line in script.splitlines()) <= 15


KEPT = sorted((ROOT / "studies/results").glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kernel_that_is_kept_is_what_its_name_says_and_checks_itself(path: Path, place: Path) -> None:
    kernel = kas.Kernel.from_json(path.read_text())
    assert kernel.hash == path.stem
    source = path.with_suffix(".py")
    assert f"Kernel {kernel.hash}" in source.read_text()
    done = run([str(source)], place)
    assert (done.returncode, done.stdout.strip()) == (0, "ok"), done.stdout + done.stderr
