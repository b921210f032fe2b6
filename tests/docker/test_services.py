"""The services, started without containers by the commands of the compose file, on a real PostgreSQL with a password."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from compose_files import ROOT, filled, raw
from postgres_programs import PROGRAMS

pytestmark = pytest.mark.system

PASSWORD = "not: $afe/in@a%URL"
SHORT = ["--trials=4", "--set", "training.epochs=1", "--set", "data.train_samples=200", "--set", "data.val_samples=100"]
SERVICES = filled(raw(), {"KAS_PASSWORD": PASSWORD})["services"]


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server on this machine that asks for the password."""

    port: int
    programs: Path

    def here(self, command: list[str], folder: Path, port: int = 0) -> list[str]:
        """A compose file's command as it runs outside of containers: other places, nothing else."""
        places = {
            "@database:5432/": f"@127.0.0.1:{self.port}/",
            "0.0.0.0": "127.0.0.1",
            "/runs": str(folder),
            "8080": str(port),
        }
        known = re.compile("|".join(map(re.escape, places)))
        command = [known.sub(lambda match: places[match[0]], word) for word in command]
        program = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{self.programs}")
        return [sys.executable if command[0] == "python" else str(program), *command[1:]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(service: str) -> dict[str, str]:
    return {**os.environ, **SERVICES[service]["environment"]}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    owner = {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="kas-pg-"))
    folder.chmod(0o777)
    secret = folder / "password"
    secret.write_text(SERVICES["database"]["environment"]["POSTGRES_PASSWORD"])
    secret.chmod(0o644)
    port = free_port()
    data = str(folder / "data")
    options = ["--username=kas", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync", f"--pgdata={data}"]
    subprocess.run([PROGRAMS / "initdb", *options], check=True, capture_output=True, cwd=folder, **owner)
    settings = ["-c", "fsync=off", "-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=127.0.0.1"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", data, "-p", str(port), *settings], stdout=log, stderr=log, cwd=folder, **owner
        )
    running = Server(port, PROGRAMS)
    try:
        wait(lambda: healthy(running, "database", folder) or process.poll() is not None)
        create = ["--host=127.0.0.1", f"--port={port}", "--username=kas", "kas"]
        subprocess.run([PROGRAMS / "createdb", *create], check=True, capture_output=True, env=environment("worker"))
        tables = running.here(SERVICES["tables"]["command"], folder)
        subprocess.run(tables, check=True, capture_output=True, env=environment("tables"))
        yield running
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def healthy(server: Server, service: str, folder: Path, port: int = 0) -> bool:
    """Whether the service's own health check passes."""
    check = server.here(SERVICES[service]["healthcheck"]["test"][1:], folder, port)
    if service == "database":
        check.append(f"--port={server.port}")
    return subprocess.run(check, capture_output=True, env=environment(service), timeout=30).returncode == 0


def start(command: list[str], service: str, log: Path, folder: Path) -> subprocess.Popen[bytes]:
    with open(log, "w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment(service), cwd=folder)


def wait(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"not ready within {seconds} s"
        time.sleep(0.2)


def test_the_dashboard_serves_the_database(server: Server, tmp_path: Path) -> None:
    port = free_port()
    command = server.here(SERVICES["dashboard"]["command"], tmp_path, port)
    assert not any(PASSWORD in word for word in command)
    process = start(command, "dashboard", tmp_path / "log", tmp_path)
    try:
        wait(lambda: healthy(server, "dashboard", tmp_path, port))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=10) as answer:
            assert b"study_summaries" in answer.read()
    finally:
        process.terminate()
        process.wait(20)


def test_a_wrong_password_is_refused(server: Server, tmp_path: Path) -> None:
    command = server.here(SERVICES["dashboard"]["command"], tmp_path, free_port())
    wrong = {**environment("dashboard"), "PGPASSWORD": "wrong"}
    result = subprocess.run(command, capture_output=True, text=True, env=wrong, cwd=tmp_path, timeout=60)
    assert result.returncode != 0
    assert "password authentication failed" in result.stderr


@pytest.mark.slow
def test_two_workers_share_the_trials(server: Server, tmp_path: Path) -> None:
    """Two workers, started together by the compose file's command, end with exactly the wanted trials, no kernel twice."""
    command = [*server.here(SERVICES["worker"]["command"], tmp_path), *SHORT]
    logs = [tmp_path / f"log{number}" for number in range(2)]
    workers = [start(command, "worker", log, ROOT) for log in logs]
    codes = [worker.wait(500) for worker in workers]
    assert codes == [0, 0], "\n".join(log.read_text() for log in logs)
    status = [sys.executable, "-m", "kas.study", "status", "digits", "--json", *command[5:7]]
    result = subprocess.run(status, check=True, capture_output=True, text=True, env=environment("worker"))
    found = json.loads(result.stdout)
    assert (found["finished"], found["running"], found["trials"]) == (4, 0, 4)
