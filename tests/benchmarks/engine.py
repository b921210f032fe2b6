"""Optuna's storages under many workers: trials a second, what the storage and the sampler take of a trial, errors.

    python tests/benchmarks/engine.py [--storages sqlite journal postgresql grpc] [--workers 64] [--trials 640] [--ms 50]

A trial draws a kernel by the sampler of kas, claims it, sleeps for `--ms` and records its outcome: all that a trial costs
but for its training. Workers are processes; they begin together. PostgreSQL is the server of the test extra, `grpc` the
proxy of kas in front of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "study"))

from servers import Server
from toy import NAME, make_queue

from kas.evaluation.devices import describe_device, resolve_device
from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.sampler import KernelSampler
from kas.study.storage.opening import close_storage, open_storage
from kas.study.storage.outages import PATIENCE_S, Outages
from kas.study.storage.queue import Nothing


def work(url: str, folder: Path, wanted: int, seconds: float) -> None:
    """One worker: waits for the start, then works; its times go to a file."""
    queue = make_queue(url, folder, wanted=wanted, outages=Outages(patience_s=PATIENCE_S))
    queue.study.sampler = KernelSampler(seeds=())
    (folder / f"ready-{time.time_ns()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    times: list[tuple[float, float, float]] = []  # to start, to propose, to claim and end
    errors = 0
    while True:
        try:
            begun = time.perf_counter()
            trial = queue.start()
            if trial is Nothing.DONE:
                break
            if isinstance(trial, Nothing):
                time.sleep(0.2)
                continue
            started = time.perf_counter()
            kernel = queue.study.sampler.suggest(trial)
            proposed = time.perf_counter()
            holder = queue.claim(trial, kernel.hash, program=kernel.to_json(), family=kernel.family)
            claimed = time.perf_counter()
            time.sleep(seconds)
            slept = time.perf_counter()
            value = (trial.number * 7919 % 1000) / 1000
            name = "ok" if holder is None else "duplicate"
            queue.finish(trial, Outcome(name, values=(value, 1 - value) if holder is None else None))
            times.append((started - begun, proposed - started, claimed - proposed + time.perf_counter() - slept))
        except Exception as error:
            errors += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            if errors > 20:
                break
    (folder / f"times-{time.time_ns()}.json").write_text(json.dumps({"times": times, "errors": errors}))


def measure(name: str, url: str, folder: Path, workers: int, trials: int, ms: float) -> str:
    """One row: `workers` processes until `trials` are finished."""
    line = [sys.executable, __file__, "--work", url, str(folder), str(trials), str(ms / 1000)]
    processes = [subprocess.Popen(line) for _ in range(workers)]
    while len(list(folder.glob("ready-*"))) < workers:
        assert all(process.poll() is None for process in processes), "a worker has ended before it began"
        time.sleep(0.1)
    begun = time.perf_counter()
    (folder / "go").touch()
    codes = [process.wait(1200) for process in processes]
    spent = time.perf_counter() - begun
    found = [json.loads(path.read_text()) for path in folder.glob("times-*.json")]
    storage = open_storage(url, folder, create=False)
    rows = optuna.load_study(study_name=NAME, storage=storage).get_trials(deepcopy=False)
    close_storage(storage)
    finished = [row.user_attrs["hash"] for row in rows if keys.is_finished(row)]
    assert len(finished) == len(set(finished)) == trials, f"{len(finished)} finished, {len(set(finished))} kernels"
    start, propose, rest = (sorted(1000 * one[part] for row in found for one in row["times"]) for part in range(3))
    errors = sum(row["errors"] for row in found) + sum(code != 0 for code in codes)
    cells = [f"{statistics.median(part):.0f} ({part[int(len(part) * 0.95)]:.0f})" for part in (start, propose, rest)]
    return f"{name:<12}{workers:>8}{trials / spent:>12.1f}{cells[0]:>16}{cells[1]:>16}{cells[2]:>16}{errors:>8}"


@contextmanager
def proxied(url: str) -> Iterator[str]:
    """The URL of a proxy in front of a database."""
    port = "13017"
    line = [sys.executable, "-m", "kas.study", "proxy", f"--storage={url}", f"--port={port}"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield f"grpc://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storages", nargs="+", default=["sqlite", "journal", "postgresql", "grpc"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--trials", type=int, default=640)
    parser.add_argument("--ms", type=float, default=50.0)
    wanted = parser.parse_args()
    print(f"{describe_device(resolve_device('cpu'))}, trials of {wanted.ms:g} ms; milliseconds: median (95 %)")
    print(f"{'storage':<12}{'workers':>8}{'trials/s':>12}{'start':>16}{'propose':>16}{'claim and end':>16}{'errors':>8}")
    # PostgreSQL allows 100 connections by default.
    server = Server(3 * max(wanted.workers) + 20) if {"postgresql", "grpc"} & set(wanted.storages) else None
    try:
        for name in wanted.storages:
            for workers in wanted.workers:
                with tempfile.TemporaryDirectory() as place:
                    folder, trials = Path(place), max(40, wanted.trials * workers // max(wanted.workers))
                    if name in ("sqlite", "journal"):
                        url = f"sqlite:///{folder}/study.db" if name == "sqlite" else f"journal://{folder}/study.log"
                        print(measure(name, url, folder, workers, trials, wanted.ms), flush=True)
                        continue
                    assert server is not None
                    url = server.new_database()
                    if name == "postgresql":
                        print(measure(name, url, folder, workers, trials, wanted.ms), flush=True)
                    else:
                        with proxied(url) as proxy:
                            print(measure(name, proxy, folder, workers, trials, wanted.ms), flush=True)
    finally:
        if server is not None:
            server.remove()
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
        sys.exit(0)
    sys.exit(main())
