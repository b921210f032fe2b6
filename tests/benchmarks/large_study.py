"""What a large study costs to look at: CPU seconds, peak memory, bytes.

    python tests/benchmarks/large_study.py [--trials 2000 10000] [--keep FOLDER]

Makes a study of really drawn kernels with the attributes that a run records, then looks at it in processes of their own:
`status`, `list`, the first load of the dashboard (its endpoint /api/studies/ID, with the bytes of the JSON), and the first
`ask` of a sampler. Seconds are of the CPU, without what importing kas or the command takes; MB is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

import kas
from kas.generation import Sampler
from kas.language import OPS
from kas.solvers import Sizes
from kas.study.config import StudyConfig
from kas.study.genome import choices, parameters
from kas.study.storage.create import create_or_join
from kas.study.storage.liveness import this_process
from kas.study.storage.opening import close_storage, open_mutex, open_storage

NAME = "large"
BUDGET = {"macs": 0.3}
TARGETS = [
    kas.Target(f"layer{stage + 1}.{block}.conv{conv}", 64 << stage, 64 << stage, (56 >> stage, 56 >> stage))
    for stage in range(4)
    for block in (0, 1)
    for conv in (1, 2)
]
SHARES = {"ok": 60, "infeasible": 5, "unhealthy": 5, "too_slow": 15, "pruned": 10, "duplicate": 3, "error": 2}
OWNER = "kas.KernelSampler:generation"
REFERENCE = {"accuracy": 0.93, "latency_ms": 48.2, "macs": 1_800_000_000, "params": 11_000_000, "work": 1.9e9, "device": "CPU",
             "epochs": 6, "runtime": "eager", "runtime_version": "2.9.0", "memory_format": "contiguous"}  # fmt: skip


def trial(number: int, kernel: kas.Kernel, sizes: Sizes, rng: random.Random) -> FrozenTrial:
    """A trial as a run records it."""
    outcome = rng.choices(list(SHARES), list(SHARES.values()))[0]
    attributes: dict[str, Any] = {"owner": this_process(), "program": kernel.to_json(), "family": kernel.family}
    attributes |= {"hash": kernel.hash, "outcome": outcome, "device": "AMD EPYC (CPU, 2 threads)"}
    if outcome not in ("duplicate", "error", "infeasible"):
        attributes |= {"macs": sizes.macs, "params": sizes.params, "work": sizes.work}
        attributes["sizes"] = {"groups": sizes.groups, "values": sizes.values, "use": sizes.use}
        attributes["health"] = {name: rng.random() for name in ("gradient", "scale", "dependence", "output")}
    ratio = rng.uniform(0.42, 1.2)
    values = [round(0.94 - 0.18 * rng.random() ** 2 / ratio, 4), ratio]
    if outcome in ("ok", "too_slow", "pruned"):
        attributes |= {"latency_ms": 48.2 * ratio, "original_latency_ms": 48.2, "ratio": ratio, "ratio_low": ratio * 0.97}
        attributes |= {"ratio_high": ratio * 1.03, "speedup": 1 / ratio, "runtime": "eager", "runtime_version": "2.9.0"}
        attributes |= {"original_format": "contiguous", "memory_format": "channels_last", "constraint.latency": ratio - 1.5}
    if outcome == "ok":
        attributes |= {"accuracy": values[0], "epochs": 6, "train_seconds": 11.0 + rng.random(), "values": values}
    else:
        attributes["reason"] = "what did not work, in a sentence that people read"
    start = datetime(2026, 1, 1) + timedelta(seconds=20 * number)
    params = parameters(kernel)
    made = create_trial(
        state={"ok": TrialState.COMPLETE, "error": TrialState.FAIL}.get(outcome, TrialState.PRUNED),
        values=values if outcome == "ok" else None,
        params=params,
        distributions=dict.fromkeys(params, choices(tuple(OPS))),
        user_attrs=attributes,
        system_attrs={OWNER: number // 12, "kas:beat": 3, "constraints:latency": ratio - 1.5},
    )
    made.datetime_start, made.datetime_complete = start, start + timedelta(seconds=18)
    return made


def make(folder: Path, count: int) -> None:
    """A study of this many trials in DIR/large."""
    storage, mutex = open_storage(None, folder / NAME), open_mutex(None, folder / NAME, NAME)
    study = create_or_join(StudyConfig(name=NAME, trials=count), storage, mutex)
    study.set_user_attr("kas.reference", json.dumps(REFERENCE))
    fields = [{"name": t.name, "in_channels": t.in_channels, "out_channels": t.out_channels, "size": t.size} for t in TARGETS]
    study.set_user_attr("kas.targets", json.dumps({"deployed": fields, "trained": fields}))
    rng = random.Random(0)
    drawn = enumerate(Sampler(2, TARGETS, BUDGET).stream(0, most=count))
    trials = [trial(number, one.kernel, one.sizes, rng) for number, one in drawn]
    close_storage(storage)
    mutex.close()
    plain = optuna.storages.RDBStorage(f"sqlite:///{folder / NAME / 'study.db'}", engine_kwargs={"pool_size": 1})
    with plain.engine.connect() as connection:  # nothing needs to survive a crash here
        connection.exec_driver_sql("PRAGMA journal_mode=MEMORY")
    for one in trials:
        plain.create_new_trial(study._study_id, template_trial=one)
    close_storage(plain)


def load_dashboard(folder: Path) -> int:
    """The bytes of the first load of the dashboard."""
    from kas.study.commands.dashboard import application

    storage = open_storage(None, folder / NAME, create=False)
    study = optuna.load_study(study_name=NAME, storage=storage)
    status: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/api/studies/{study._study_id}", "SERVER_NAME": "x", "SERVER_PORT": "1"}
    environ |= {"wsgi.url_scheme": "http", "CONTENT_TYPE": "application/json", "QUERY_STRING": "after=0"}
    body = b"".join(application(storage, folder / NAME)(environ, lambda line, *_: status.append(line)))
    assert status == ["200 OK"], status
    assert json.loads(body)["trials"]
    return len(body)


def ask(folder: Path) -> None:
    """A kernel from a sampler that has not looked at the study before."""
    study = optuna.load_study(study_name=NAME, storage=open_storage(None, folder / NAME, create=False))
    study.sampler = kas.KernelSampler(TARGETS, BUDGET)
    begun = time.process_time()
    kas.suggest_kernel(study.ask(), TARGETS, BUDGET)
    print(json.dumps({"seconds": time.process_time() - begun}))


def command(name: str, folder: Path) -> None:
    """A command of kas."""
    from kas.study.__main__ import main

    assert main([name, *([NAME] if name == "status" else []), "--dir", str(folder)]) == 0


def measure(task: str, folder: Path) -> None:
    """Do a task in this process and print what it took, as the last line."""
    begun, size = time.process_time(), None
    if task == "ask":
        ask(folder)
    elif task == "dashboard":
        import optuna_dashboard  # noqa: F401

        begun = time.process_time()
        size = load_dashboard(folder)
    else:
        command(task, folder)
    seconds = time.process_time() - begun
    print(json.dumps({"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "bytes": size}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[2000])
    parser.add_argument("--keep", type=Path, help="the folder of the studies, made if they are not there")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        measure(args.task, args.keep)
        return
    print(f"{'trials':>7} {'what':10} {'CPU s':>7} {'peak MB':>8} {'MB sent':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        for count in args.trials:
            folder = (args.keep or Path(temporary)) / str(count)
            if not (folder / NAME).exists():
                make(folder, count)
            for task in ("status", "list", "dashboard", "ask"):
                line = [sys.executable, __file__, "--keep", str(folder), "--task", task]
                out = subprocess.run(line, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
                found = [json.loads(text) for text in out.splitlines() if text.startswith('{"seconds"')]
                sent = "" if found[-1]["bytes"] is None else f"{found[-1]['bytes'] / 1e6:.1f}"
                print(f"{count:7} {task:10} {found[0]['seconds']:7.2f} {found[-1]['mb']:8.0f} {sent:>8}", flush=True)


if __name__ == "__main__":
    main()
