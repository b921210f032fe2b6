"""A real study whose processes are killed at random, by the real command, on each storage: what is left at its end.

    python tests/benchmarks/chaos.py [--storage sqlite journal postgresql grpc] [--trials 60] [--workers 4] [--every 12]

Every 12 s on average (exponential gaps) one process of the study, drawn at random, is killed with -9: a worker or the
command that supervises them, which is then started again with `resume`. Nothing is killed before each live worker has
been in the study for 8 s; the import of torch, which a busy machine stretches, does not count. PostgreSQL is killed and started
again twice; with `grpc` the proxy in front of it once, and PostgreSQL once.

A line for each storage: kills of workers, of the command and of the database, seconds, and what is wrong at the end. There
are to be exactly the wanted finished trials, no kernel twice, none that was finished is lost or changed, none is RUNNING, no
process is left, the kernels of the front are exported, and every checkpoint can be read.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "study"))

from servers import Proxy, Server

from kas.evaluation.devices import describe_device, resolve_device
from kas.language import KasError, Kernel
from kas.study import attributes as keys
from kas.study.storage import records
from kas.study.storage.files import StudyFolder
from kas.study.storage.opening import close_storage, open_storage

__all__ = ["STUDY", "command", "opened", "wrong"]

STUDY = """\
name: tiny
trials: 6
data: {name: digits, size: 8, train_samples: 100, val_samples: 50, test_samples: 60}
model: {args: {width: 4, stages: 1}}
training: {epochs: 1}
cost: {batch_size: 2}
objectives: {cost: work}
health: {enabled: false}
"""
MOST_S = 3600.0  # of one storage
LEAVING_S = 60.0  # for workers whose command was killed
STORAGES = ("sqlite", "journal", "postgresql", "grpc")


def command(folder: Path, *arguments: str, url: str | None = None) -> list[str]:
    """The words of a command on the studies of a folder."""
    storage = [] if url is None else [f"--storage={url}"]
    return [sys.executable, "-m", "kas.study", *arguments, f"--dir={folder}", *storage]


@contextmanager
def opened(folder: Path, url: str | None = None) -> Iterator[optuna.Study]:
    """The study `tiny` of a folder."""
    storage = open_storage(url, folder / "tiny", create=False)
    try:
        yield optuna.load_study(study_name="tiny", storage=storage)
    finally:
        close_storage(storage)


def finished(folder: Path, url: str | None) -> dict[int, Any]:
    """The finished trials by their numbers; none before there is a study."""
    with suppress(KasError, KeyError), opened(folder, url) as study:
        rows = study.get_trials()
        return {row.number: (row.user_attrs["hash"], row.user_attrs[keys.OUTCOME]) for row in rows if keys.is_finished(row)}
    return {}


def wrong(folder: Path, url: str | None, wanted: int, known: dict[int, Any] | None = None) -> list[str]:
    """What is not as it should be at the end of a study. known: finished trials that were seen before."""
    place, found = StudyFolder(folder / "tiny"), []
    with opened(folder, url) as study:
        rows, front = study.get_trials(), records.front(records.read(study))
    done = [row for row in rows if keys.is_finished(row)]
    if len(done) != wanted:
        found.append(f"{len(done)} of {wanted} trials are finished")
    found += [f"kernel {key} {many} times" for key, many in Counter(row.user_attrs["hash"] for row in done).items() if many > 1]
    found += [f"trial {row.number} is {row.state.name}" for row in rows if row.state.name == "RUNNING"]
    found += [f"trial {row.number}: {row.user_attrs.get(keys.REASON)}" for row in rows if keys.outcome_of(row) == "error"]
    now = finished(folder, url)
    for number, was in (known or {}).items():
        if now.get(number) != was:
            found.append(f"trial {number} was {was} and is {now.get(number)}")
    if not front:
        found.append("no front")
    for one in front:
        path = place.kernel(str(one.hash), ".json")
        if not path.exists() or Kernel.from_json(path.read_text()).hash != one.hash:
            found.append(f"{path} is not the kernel of trial {one.number}")
        others = [place.kernel(str(one.hash), suffix) for suffix in (".py", ".svg", ".ckpt")]
        found += [f"{other} is missing" for other in others if not other.exists()]
    kept = [place.trial(row.user_attrs["hash"]) / "last.ckpt" for row in done if row.user_attrs[keys.OUTCOME] == "ok"]
    for path in sorted({*kept, *place.root.rglob("*.ckpt")}):
        try:
            torch.load(path, weights_only=True)
        except Exception as error:  # whatever a damaged file raises
            found.append(f"{path}: {type(error).__name__}: {error}")
    return found


class Chaos:
    """One study under kills. databases: servers that are killed and started again, one after the other."""

    def __init__(
        self, folder: Path, url: str | None, options: argparse.Namespace, rng: random.Random, databases: Sequence[Any] = ()
    ) -> None:
        self._folder, self._url, self._options, self._rng, self._databases = folder, url, options, rng, list(databases)
        self.kills: Counter[str] = Counter()
        self._seen: set[psutil.Process] = set()
        self._known: dict[int, Any] = {}
        (folder / "tiny.yaml").write_text(yaml.safe_dump({**yaml.safe_load(STUDY), "trials": options.trials}))

    def run(self) -> tuple[float, list[str]]:
        """The seconds that it took, and what is wrong at its end."""
        begun, code, errors = time.monotonic(), None, []
        try:
            while code != 0 and time.monotonic() - begun < MOST_S and not errors:
                code, said = self._command(begun + MOST_S)
                errors += [f"exit code {code}: {said[-400:]}"] if code not in (0, -signal.SIGKILL, None) else []
                errors += ["a traceback"] if "Traceback" in said else []
            spent = time.monotonic() - begun
            while self._left() and time.monotonic() - begun - spent < LEAVING_S:
                time.sleep(0.5)
            errors += [f"process {one.pid} is left" for one in self._left()]
        finally:
            for one in self._left():
                one.kill()
        return spent, [*errors, *wrong(self._folder, self._url, self._options.trials, self._known)]

    def _left(self) -> list[psutil.Process]:
        return [one for one in self._seen if one.is_running()]

    def _command(self, deadline: float) -> tuple[int | None, str]:
        """One run of the command, to its end or its kill: the exit code and what it said."""
        there = StudyFolder(self._folder / "tiny").root.joinpath("study.yaml").exists()
        words = ["resume", "tiny"] if there else ["run", str(self._folder / "tiny.yaml")]
        with open(self._folder / "said.txt", "a+") as said:
            begin = said.seek(0, 2)
            line = command(self._folder, *words, f"--workers={self._options.workers}", url=self._url)
            process = psutil.Popen(line, stdout=said, stderr=subprocess.STDOUT)
            while process.poll() is None and time.monotonic() < deadline:
                pause = time.monotonic() + self._rng.expovariate(1 / self._options.every)
                while process.poll() is None and not (time.monotonic() > pause and self._may_kill(process)):
                    time.sleep(0.5)
                if process.poll() is None:
                    self._kill(process)
            said.seek(begin)
            return process.poll(), said.read()

    def _workers(self, command: psutil.Process) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return [one for one in command.children() if one.is_running()]
        return []

    def _may_kill(self, command: psutil.Process) -> bool:
        """Whether each live worker is old enough, and there has been progress since the last kill."""
        workers, now = self._workers(command), time.time()
        self._seen |= {command, *workers}
        if not workers or any(now - one.create_time() < self._options.up for one in workers):
            return False
        return len(finished(self._folder, self._url)) > len(self._known)

    def _kill(self, command: psutil.Process) -> None:
        self._known |= finished(self._folder, self._url)
        if self._databases and len(self._known) >= (self.kills["database"] + 1) * self._options.trials / 4:
            self.kills["database"] += 1
            database = self._databases.pop(0)
            database.stop(signal.SIGKILL)
            time.sleep(self._rng.uniform(1, 5))
            database.start()
            return
        victim = self._rng.choice([command, *self._workers(command)])
        self.kills["command" if victim == command else "worker"] += 1
        with suppress(psutil.Error):
            victim.kill()


def chaos(name: str, options: argparse.Namespace) -> list[str]:
    """One storage: what is wrong at the end, after its line."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kas-chaos-")))
        url, databases = None if name == "sqlite" else f"journal://{folder}/study.log", []
        if name in ("postgresql", "grpc"):
            server = Server()
            stack.callback(server.remove)
            url, databases = server.new_database(), [server, server]
            if name == "grpc":
                proxy = Proxy(url)
                stack.callback(proxy.stop)
                url, databases = proxy.url, [proxy, server]
        one = Chaos(folder, url, options, random.Random(f"{options.seed} {name}"), databases)
        seconds, faults = one.run()
        kills = one.kills
        print(
            f"{name:<12}{kills['worker']:>8}{kills['command']:>9}{kills['database']:>10}{seconds:>9.0f}  "
            f"{'; '.join(faults) or 'nothing'}",
            flush=True,
        )
        if faults:
            print((folder / "said.txt").read_text()[-3000:], file=sys.stderr)
        return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=list(STORAGES))
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--every", type=float, default=12.0, help="seconds between kills, on average")
    parser.add_argument("--up", type=float, default=8.0, help="the least age of each worker, in seconds, when one is killed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{options.trials} trials, {options.workers} workers, a kill every {options.every:g} s, seed {options.seed}")
    print(f"{describe_device(resolve_device('cpu'))}, load average {os.getloadavg()[0]:.1f}")
    print(f"{'storage':<12}{'workers':>8}{'command':>9}{'database':>10}{'seconds':>9}  wrong", flush=True)
    return int(sum(len(chaos(name, options)) for name in options.storage) > 0)


if __name__ == "__main__":
    sys.exit(main())
