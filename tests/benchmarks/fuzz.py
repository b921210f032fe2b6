"""What nobody would write: study files, kernels, command lines and storages at random, each met by the real commands.

    python tests/benchmarks/fuzz.py --seconds 60 --seed 0

A case is found again by its seed, kind and number (`--only storage:17`). A case fails if it ends otherwise than with an
exit code (an exception that nobody caught), takes over 20 s or 500 MB, writes a file outside the study's folder, or says
a secret. Nothing is trained: where a worker would start, the study is opened, and its queue and sampler are asked for a
trial instead.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
import yaml
from jsonargparse import ArgumentParser

from kas import zoo
from kas.generation import Sampler, mutate
from kas.language import OPS, InvalidKernel, KasError, Kernel
from kas.reporting import notes
from kas.study.__main__ import main
from kas.study.commands import COMMANDS
from kas.study.config import StudyConfig
from kas.study.sampler import KernelSampler
from kas.study.storage.claims import Claims
from kas.study.storage.create import create_or_join, own_folder
from kas.study.storage.files import StudyFolder
from kas.study.storage.liveness import this_process
from kas.study.storage.opening import close_storage, open_mutex, open_storage
from kas.study.storage.promotions import Promotion, store
from kas.study.storage.queue import TrialQueue

MOST_S, MOST_MB = 20.0, 500.0
SECRET = "s3cr3t-of-the-storage"
URL = f"postgresql+psycopg://kas:{SECRET}@127.0.0.1:1/kas"
COMMANDS_OF_A_STUDY = ("status", "status --json", "list", "report", "resume", "run", "show", "export", "promote", "measure")
Case = Callable[[random.Random, Path], str]


class TooLong(BaseException):
    """A case that does not end."""


def nested(depth: int, make: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    """A value inside so many others."""
    value: Any = 0
    for _ in range(depth):
        value = make(value)
    return value


def weird(rng: random.Random, box: Path) -> Any:
    """A value that is hardly ever the right one."""
    return rng.choice([
        "", "text", "x" * 300, "ok", "../../../outside", str(box / "outside"), "0" * 16, "\x00", "é\ud800", "null", "[" * 2000,
        "{}", '{"a": 1}', "[1]", "9" * 5000, "2001-99-99", "*a", "&a [*a]", "=", "<script>", "a\nb", "%s{}", True, False, None,
        0, -1, 1, 3, 2**31, 2**63, 2**64, -(2**70), 10**400, 0.5, -0.5, 1e308, float("nan"), float("inf"), [], {}, [1], [None],
        ["a", 1], {"a": {}}, {"": None}, {"outcome": "ok"}, nested(40), nested(300), nested(300, lambda inner: {"a": inner}),
        this_process(), {"owner": 3}, {"owner": {}, "beat": 1}, [2**70, 0.5], ["0" * 16], {"0" * 16: {"ratio": "x"}},
    ])  # fmt: skip


# --- study files ---------------------------------------------------------------------------------------------------------


def study_file(rng: random.Random, box: Path) -> str:
    """A good study file with some values or some characters replaced."""
    config = StudyConfig(name="demo").to_dict()
    for _ in range(rng.randint(1, 3)):
        node: Any = config
        while isinstance(node, dict) and node:
            key = rng.choice(list(node))
            if not isinstance(node[key], dict) or not node[key] or rng.random() < 0.2:
                node[rng.choice([key, key, key, "unknown"])] = rng.choice([weird(rng, box), _random_known(rng)])
                break
            node = node[key]
    try:
        text = yaml.safe_dump(config) if rng.random() < 0.5 else json.dumps(config)
    except (yaml.YAMLError, ValueError, RecursionError):
        text = "name: demo\n"
    if rng.random() < 0.4:
        at, junk = (
            rng.randrange(len(text)),
            ["[" * 40, "&a ", "*a", "!!int x", "\t", "{", ": ", "- ", "\x00", "'", "<<: *a\n", "#"],
        )
        text = text[:at] + rng.choice(junk) * rng.choice([1, 1, 50]) + text[at + rng.randint(0, 20) :]
    path = box / "demo.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    values = [
        f"{rng.choice(['trials', 'training.epochs', 'model.args', 'a.b', ''])}={weird(rng, box)}"
        for _ in range(rng.randint(0, 2))
    ]
    return call(box, "run", str(path), *(word for value in values for word in ("--set", value.replace("\x00", ""))))


def _random_known(rng: random.Random) -> Any:
    return rng.choice(
        ["auto", "cpu", "digits", "resnet18", "eager", "latency", 1, 2, 8, 0.1, True, None, ["bottleneck"], {"macs": 0.5}]
    )


# --- kernels -------------------------------------------------------------------------------------------------------------


def kernel_file(rng: random.Random, box: Path) -> str:
    """A known kernel, or a legal mutant of one, with some of its JSON replaced; all that is computed of one that is legal."""
    from kas.solvers.formulas import text
    from kas.study.display.describe import program_lines

    kernel = zoo.get(rng.choice(zoo.names(2)))
    if rng.random() < 0.5:
        kernel = mutate(kernel, SAMPLER, np.random.default_rng(rng.randrange(2**32)))
    data: Any = kernel.to_dict()
    for _ in range(rng.randint(0, 2)):
        step = rng.choice(data["steps"])
        kind = rng.random()
        if kind < 0.4:
            step[rng.choice(list(step))] = weird(rng, box)
        elif kind < 0.7:
            step[rng.choice(list(step))] = rng.choice(
                ["C", "C/G", "x0*C", "C*C*C", "C/4", [0], [1, 0], [3, 3], 2, rng.choice(list(OPS))]
            )
        elif kind < 0.8:
            data["steps"] = (data["steps"] * rng.choice([2, 20, 10000]))[: rng.choice([10, 200, 10**5])]
        else:
            data[rng.choice(list(data))] = weird(rng, box)
        if not isinstance(data.get("steps"), list) or not all(isinstance(one, dict) for one in data["steps"]):
            break
    path = box / "kernel.json"
    try:
        path.write_bytes(json.dumps(data).encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        path.write_text("[" * 10**5)
    if rng.random() < 0.03:
        return call(box, "show", str(path))
    try:
        read = Kernel.from_json(path.read_text(encoding="utf-8", errors="replace"))
    except InvalidKernel as error:
        return str(error)
    return " ".join([read.hash, read.family, *text(read).values(), *program_lines(read)])


# --- command lines -------------------------------------------------------------------------------------------------------


def command_line(rng: random.Random, box: Path) -> str:
    """A command with options of any value, mostly its own, a storage with a password among them."""
    command = rng.choice([*COMMANDS, "unknown"])
    own, words = _options(command), [command, rng.choice(["demo", "demo", "", "demo.yaml", "bottleneck"])]
    kernel = zoo.get("grouped3x3").hash
    sensible = [
        "demo",
        kernel,
        kernel[:5],
        URL,
        f"journal://{box}/runs/log",
        f"sqlite:///{box}/runs/demo/study.db",
        "py",
        "json",
        "7",
    ]
    for _ in range(rng.randint(0, 4)):
        value = rng.choice([*sensible, weird(rng, box)])
        text = value if isinstance(value, str) else repr(value) if not isinstance(value, int) else "7"
        words += [rng.choice([*own, "", "--unknown"]), text.replace("\x00", "").replace(str(box / "outside"), "in")]
    if command == "dashboard":
        words += ["--port", "0"]
    if command == "rediscover":
        words += ["--samples", "3", "--workers", "1", "--particles", "0"]
    return call(box, *(word for word in words if word), place="--dir" not in words)


def _options(command: str) -> list[str]:
    """The options of a command."""
    parser = ArgumentParser()
    if command in COMMANDS:
        COMMANDS[command].add_arguments(parser)
    return [action.option_strings[-1] for action in parser._actions if action.option_strings]


# --- storages ------------------------------------------------------------------------------------------------------------


def demo(box: Path) -> None:
    """A study with trials of every kind, its original, its front, a promotion and a claim."""
    folder = StudyFolder(box / "runs" / "demo")
    storage, mutex = open_storage(None, folder.root), open_mutex(None, folder.root, "demo")
    study = create_or_join(StudyConfig(name="demo", trials=9, device="cpu"), storage, mutex)
    own_folder(study, folder)
    original = {"accuracy": 0.9, "latency_ms": 8.0, "macs": 1000, "params": 100, "work": 1e3, "device": "cpu", "epochs": 2}
    target = {"name": "conv", "in_channels": 32, "out_channels": 32, "size": [8, 8]}
    values: dict[str, Any] = {
        "reference": json.dumps(original),
        "targets": json.dumps({"deployed": [target], "trained": [target]}),
        "input": {"shape": [1, 8, 8], "classes": 10},
        "runtimes": {"compile": {"version": "1", "memory_format": "contiguous"}},
        "claim.front": {"owner": this_process(), "beat": 1},
    }
    kernels = [zoo.get(name) for name in ("grouped3x3", "depthwise_separable", "ghost", "bottleneck")]
    measured = {
        "latency_ms": 4.0,
        "original_latency_ms": 8.0,
        "ratio": 0.5,
        "ratio_low": 0.4,
        "ratio_high": 0.6,
        "speedup": 2.0,
    }
    values["front"] = {kernels[0].hash: {**measured, "measured": 3, "runtimes": {"compile": measured}}}
    for key, value in values.items():
        study.set_user_attr(f"kas.{key}", value)
    store(study, Promotion(kernels[0].hash, 0, 2, 0.9, 0.9, 1.0, "cpu", (1, 8, 8), 4, {"conv": {}}, 1, 1))
    states = [optuna.trial.TrialState[name] for name in ("COMPLETE", "COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")]
    for number, state in enumerate(states):
        kernel = kernels[number % 4]
        attributes: dict[str, Any] = {"hash": kernel.hash, "family": kernel.family, "program": kernel.to_json()}
        attributes |= {"owner": {**this_process(), "start": 1}, "died": state.name == "FAIL", "deaths": 1, "device": "cpu"}
        if state.is_finished():
            outcome = {"COMPLETE": "ok", "PRUNED": "too_slow", "FAIL": "error"}[state.name]
            sizes = {"groups": 4, "values": {"conv": {}}, "use": {"macs": 0.5}}
            attributes |= {
                **measured,
                "outcome": outcome,
                "reason": "why",
                "accuracy": 0.9,
                "macs": 3,
                "params": 3,
                "work": 3.0,
            }
            attributes |= {"sizes": sizes, "epochs": 2, "resumed_from_epoch": 1, "health": {"gradient": 1.0}, "error": "trace"}
            attributes |= {"values": [0.9, 0.5], "train_seconds": 1.0, "duplicate_of": 0, "runtime": "eager"}
        if state.name == "WAITING":
            attributes["retry_of"] = 3
        values_of = [0.9 - number / 100, 0.5 - number / 100] if state.name == "COMPLETE" else None
        system = {"kas.KernelSampler:generation": 0, "constraints:latency": -0.5}
        study.add_trial(optuna.trial.create_trial(state=state, values=values_of, user_attrs=attributes, system_attrs=system))
    study._storage.set_study_system_attr(study._study_id, "kas.KernelSampler:parent:1", [1, 2])
    close_storage(storage)
    mutex.close()


def storage(rng: random.Random, box: Path) -> str:
    """The study of `demo` with an attribute replaced (or its JSON broken), and a few commands on it."""
    database = box / "runs" / "demo" / "study.db"
    table = rng.choice(
        [
            "trial_user_attributes",
            "trial_user_attributes",
            "study_user_attributes",
            "trial_system_attributes",
            "study_system_attributes",
        ]
    )
    identity, _ = table.split("_")[0], None
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute(
            f"SELECT {identity}_{'user' if 'user' in table else 'system'}_attribute_id, key FROM {table} ORDER BY 1"
        ).fetchall()
        column = f"{identity}_{'user' if 'user' in table else 'system'}_attribute_id"
        for number, _ in rng.sample(rows, rng.choice([1, 1, 2])):
            value = weird(rng, box)
            try:
                text = json.dumps(value) if rng.random() < 0.9 else rng.choice(["", "{", "[" * 10**5, "NaN", "9" * 5000])
            except (ValueError, RecursionError):
                text = "{"
            connection.execute(f"UPDATE {table} SET value_json = ? WHERE {column} = ?", (text, number))
    kernel = zoo.get("grouped3x3").hash
    said = ""
    for command in rng.sample(COMMANDS_OF_A_STUDY, 2):
        words = command.split()
        more = {
            "list": [],
            "show": [kernel[:6]],
            "export": ["demo", "--kernel", kernel[:6], "--to", rng.choice(["py", "json", "dot"])],
        }
        if command == "run":
            (box / "demo.yaml").write_text(yaml.safe_dump(StudyConfig(name="demo", trials=9, device="cpu").to_dict()))
            more["run"] = [str(box / "demo.yaml")]
        said += call(box, *words, *more.get(words[0], ["demo"]))
    return said


# --- running a case ------------------------------------------------------------------------------------------------------


def call(box: Path, *words: str, place: bool = True) -> str:
    """Run a command in this process; what it says and its exit code."""
    said = io.StringIO()
    where = ["--dir", str(box / "runs")] if place and words and words[0] != "keys" else []
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code: Any = main([*words, *where])
        except SystemExit as error:
            code = error.code
    if code not in (0, 1, 2):
        raise AssertionError(f"the exit code is {code}")
    return said.getvalue()


def take_part(config: StudyConfig, study_file: Path | None, place: Any, workers: int, **_: Any) -> int:
    """What a worker does with a storage before and after a trial, without networks."""
    folder = StudyFolder(place.folder(config.name))
    url = place.storage
    with contextlib.ExitStack() as stack:
        opened = open_storage(url, folder.root)
        stack.callback(close_storage, opened)
        mutex = open_mutex(url, folder.root, config.name)
        stack.callback(mutex.close)
        study = create_or_join(config, opened, mutex)
        own_folder(study, folder)
        queue = TrialQueue(study, opened, mutex, wanted=config.trials)
        study.sampler = KernelSampler(population_size=2, seeds=())
        trial = queue.start()
        if isinstance(trial, optuna.Trial):
            queue.claim(
                trial, zoo.get("bottleneck").hash, program=zoo.get("bottleneck").to_json(), family=zoo.get("bottleneck").family
            )
            frozen = opened.get_trial(trial._trial_id)
            study.sampler.before_trial(study, frozen)
            if isinstance(study.sampler, KernelSampler):
                study.sampler.parents(study, frozen)
                study.sampler.get_parent_population(study, 1)
            queue.release(trial)
        Claims(study, mutex).attempt("front", lambda: None)
        notes.save_study_note(study)
    return 0


@contextlib.contextmanager
def stubbed() -> Iterator[None]:
    """No network is built: `run` and `resume` take part without one, the others say that there is none."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise KasError("no network here")

    with (
        mock.patch("kas.study.commands.run.launch", take_part),
        mock.patch("kas.study.commands.resume.launch", take_part),
        mock.patch("kas.study.commands.promote._promote", refuse),
        mock.patch("kas.study.workers.measuring.make_bench", refuse),
        mock.patch("kas.study.commands.show._print_sizes", refuse),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


SAMPLER = Sampler(2)
KINDS: dict[str, Case] = {"study": study_file, "kernel": kernel_file, "command": command_line, "storage": storage}


def fails(kind: str, number: int, seed: int, base: Path) -> str | None:
    """Run a case; why it fails, or None."""
    rng = random.Random(f"{seed} {kind} {number}")
    with tempfile.TemporaryDirectory(prefix="kas-fuzz-") as folder:
        box = Path(folder)
        shutil.copytree(base / "runs", box / "runs")
        before, memory, began = _outside(box), _memory(), time.monotonic()
        signal.signal(signal.SIGALRM, _end)
        signal.setitimer(signal.ITIMER_REAL, MOST_S)
        here = os.getcwd()
        os.chdir(box / "runs")
        try:
            said = KINDS[kind](rng, box)
        except TooLong:
            return f"it takes over {MOST_S:.0f} s"
        except (Exception, KeyboardInterrupt):
            return traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.chdir(here)
        if (taken := time.monotonic() - began) > MOST_S:
            return f"it takes {taken:.0f} s"
        if (more := _memory() - memory) > MOST_MB:
            return f"it takes {more:.0f} MB"
        if written := _outside(box) - before - {box / "demo.yaml", box / "kernel.json"}:
            return f"it writes {written}"
        if SECRET in said or "Traceback" in said:
            return f"it says {said[-2000:]}"
    return None


def _end(*_: Any) -> None:
    raise TooLong


def _outside(box: Path) -> set[Path]:
    return {path for path in box.rglob("*") if not path.is_relative_to(box / "runs")}


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fuzz(
    seconds: float, seed: int, kinds: Sequence[str] = tuple(KINDS), most: Mapping[str, int] | None = None
) -> tuple[dict[str, int], list[str]]:
    """Cases of each kind in turns for so long, or so many: how many there were, and each that failed with the reason."""
    counts, failed, ends = dict.fromkeys(kinds, 0), [], time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="kas-fuzz-") as folder, stubbed():
        demo(Path(folder))
        while time.monotonic() < ends and counts != most:
            for kind in kinds if most is None else [kind for kind in kinds if counts[kind] < most[kind]]:
                if reason := fails(kind, counts[kind], seed, Path(folder)):
                    failed.append(f"--seed {seed} --only {kind}:{counts[kind]}\n{reason}")
                counts[kind] += 1
    return counts, failed


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="KIND[:NUMBER]", help=f"one case, or cases of one kind: {', '.join(KINDS)}")
    args = parser.parse_args()
    kind, _, number = (args.only or "").partition(":")
    if number:
        with tempfile.TemporaryDirectory(prefix="kas-fuzz-") as folder, stubbed():
            demo(Path(folder))
            reason = fails(kind, int(number), args.seed, Path(folder))
        print(reason or "as it should be")
        return 1 if reason else 0
    counts, failed = fuzz(args.seconds, args.seed, [kind] if kind else tuple(KINDS))
    print("\n\n".join(failed))
    print(f"seed {args.seed}: {', '.join(f'{count} {kind}' for kind, count in counts.items())}; {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(_main())
