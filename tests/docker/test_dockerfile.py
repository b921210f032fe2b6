"""The image: what it copies is there, the torch that it installs is the package's, it does not run as root."""

from __future__ import annotations

import re

import pytest
from compose_files import DOCKER, ROOT

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

TEXT = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
LINES = [line.strip() for line in TEXT.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in LINES if line.split()[0] == name]


def test_torch_is_the_range_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = [spec for spec in project["dependencies"] if spec.startswith("torch")]
    install = next(line for line in instructions("RUN") if "--index-url" in line)
    assert re.findall(r'"(torch(?:vision)?[<>=][^"]+)"', install) == [s for s in ranges if not s.startswith("torchmetrics")]
    assert "/${TORCH}" in install
    assert "TORCH=cpu" in instructions("ARG")


def test_what_is_copied_passes_the_ignore_file() -> None:
    allowed = {line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in instructions("COPY") for source in line.split()[:-1]}
    assert copied == allowed
    for name in ("kas", "studies", "pyproject.toml", "LICENSE"):
        assert name in copied
        assert (ROOT / name).exists()


def test_it_does_not_run_as_root() -> None:
    user = max(number for number, line in enumerate(LINES) if line.startswith("USER "))
    assert LINES[user] == "USER 1000"
    assert not any(line.startswith("RUN ") for line in LINES[user:])


@pytest.mark.parametrize("word", ["PASSWORD", "SECRET", "TOKEN"])
def test_no_layer_holds_a_secret(word: str) -> None:
    assert word not in TEXT.upper()


def test_packages_of_a_user_are_installed_beside_kas() -> None:
    assert 'PACKAGES=""' in instructions("ARG")
    assert any(line.endswith('".[postgres,grpc]" ${PACKAGES}') for line in instructions("RUN"))
