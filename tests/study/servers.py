"""Servers of the tests' own, to be stopped, killed and started again: PostgreSQL, and the proxy in front of it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from postgres_programs import PROGRAMS

__all__ = ["Proxy", "Server"]


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A PostgreSQL server on this machine, to be stopped and started. url: without a database. connections: at most."""

    def __init__(self, connections: int = 100) -> None:
        self._connections = connections
        self._owner = {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
        self.folder = Path(tempfile.mkdtemp(prefix="kas-pg-"))
        self.folder.chmod(0o777)
        self.port = str(free_port())
        self.url = f"postgresql://kas@127.0.0.1:{self.port}"
        options = ["--username=kas", "--auth=trust", "--no-sync", f"--pgdata={self.folder / 'data'}"]
        self._run("initdb", *options, check=True)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = ["-c", "fsync=off", "-c", f"unix_socket_directories={self.folder}", "-c", "listen_addresses=127.0.0.1"]
        settings += ["-c", f"max_connections={self._connections}"]
        command = [PROGRAMS / "postgres", "-D", self.folder / "data", "-p", self.port, *settings]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._owner)
        deadline = time.monotonic() + 60
        while self._run("pg_isready", "-h", "127.0.0.1", "-p", self.port).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT: a fast stop, which does not wait for clients; SIGQUIT: at once; SIGKILL: as a crash."""
        self.process.send_signal(number)
        self.process.wait(60)

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg

        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url.replace('postgresql', 'postgresql+psycopg')}/{name}"

    def remove(self) -> None:
        """Stop it, and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
        words = [PROGRAMS / program, *arguments]
        return subprocess.run(words, check=check, capture_output=True, cwd=self.folder, **self._owner)


class Proxy:
    """`python -m kas.study proxy` in front of a database, on a port that it keeps. url: what workers use."""

    def __init__(self, storage: str) -> None:
        port = free_port()
        self.url = f"grpc://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "kas.study", "proxy", f"--storage={storage}", f"--port={port}"]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"workers use --storage {self.url}  (Ctrl-C ends)\n"

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode
