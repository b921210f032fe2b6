"""Ways to die, for `deaths.py`: a function each, which does it to a study in a `Box` and returns what was lost, in words."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from deaths import Box, end
from disks import disk, fill
from servers import Server

__all__ = ["WAYS"]

FULL = "cannot be written"
SECRET = "s3cr3t"
CLOCK = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += access("FOLDER/ahead", F_OK) == 0 ? 90000 : 0;
    if (clock == CLOCK_REALTIME) now->tv_sec -= access("FOLDER/behind", F_OK) == 0 ? 90000 : 0;
    return code;
}
"""


@dataclass(frozen=True)
class Way:
    """base: what the study is before: `done` (a trial is finished), `limited` (with a time limit) or `new`."""

    do: Callable[[Box], str]
    base: str = "done"


WAYS: dict[str, Way] = {}


def way(name: str, base: str = "done") -> Callable[[Callable[[Box], str]], Callable[[Box], str]]:
    """Enter a function in the table."""

    def enter(do: Callable[[Box], str]) -> Callable[[Box], str]:
        WAYS[name] = Way(do, base)
        return do

    return enter


@way("kill -9 of a worker")
def kill_worker(box: Box) -> str:
    box.training()
    box.process.children()[0].kill()
    box.dies()
    return box.goes_on("was killed by SIGKILL; a new one takes its place", again=False)


@way("kill -9 of the command")
def kill_command(box: Box) -> str:
    box.training()
    workers = box.process.children()
    box.process.kill()
    box.dies()
    lost = box.goes_on()
    assert not any(one.is_running() for one in workers)
    return lost


@way("kill -9 of everything while the study is made", "new")
def kill_in_creation(box: Box) -> str:
    box.start()
    box.until(lambda: (box.study / "study.db").exists())
    box.kill_all()
    return box.goes_on()


@way("kill -9 of PostgreSQL, back after 10 s", "new")
def kill_database(box: Box) -> str:
    server = Server()
    box.callback(server.remove)
    box.url = server.new_database()
    box.training()
    box.dies()
    server.stop(signal.SIGKILL)
    time.sleep(10)
    server.start()
    return box.goes_on("the database does not answer since", "the database answers again", again=False)


def interrupted(number: signal.Signals, times: int) -> Callable[[Box], str]:
    def do(box: Box) -> str:
        box.training()
        with suppress(psutil.NoSuchProcess):
            for _ in range(times):
                box.process.send_signal(number)
                time.sleep(0.1)
        box.dies()
        box.ends(130, "interrupted; go on with: python -m kas.study resume tiny")
        return box.goes_on()

    return do


for _name, _number, _times in (
    ("SIGTERM", signal.SIGTERM, 1),
    ("SIGINT", signal.SIGINT, 1),
    ("SIGINT twice", signal.SIGINT, 2),
    ("SIGHUP", signal.SIGHUP, 1),
):
    way(_name)(interrupted(_number, _times))


@way("SIGTERM while kas loads")
def early_signal(box: Box) -> str:
    box.start()
    time.sleep(0.5)
    box.process.terminate()
    box.dies()
    box.ends(130, "interrupted")
    return box.goes_on()


@way("SIGSTOP of one of two workers, SIGCONT later")
def stop_worker(box: Box) -> str:
    box.training("resume", "tiny", f"--trials={box.wanted}", "--workers=2")
    stopped = box.process.children()[0]
    stopped.send_signal(signal.SIGSTOP)
    box.dies()
    box.back()
    stopped.send_signal(signal.SIGCONT)
    return box.goes_on(again=False)


def on_full_disk(box: Box) -> Path:
    """Move the study to a small disk."""
    place = box.enter_context(disk(box.folder.parent / "disk", "20m"))
    box.folder = Path(shutil.move(box.folder, place / "runs"))
    return place


@way("disk full before the study is made", "new")
def full_in_creation(box: Box) -> str:
    filler = fill(on_full_disk(box))
    box.command(code=1, said=[FULL])
    box.dies()
    filler.unlink()
    return box.goes_on()


@way("disk full in a training")
def full_in_training(box: Box) -> str:
    place = on_full_disk(box)
    box.training()
    filler = fill(place)
    box.ends(1, FULL)
    filler.unlink()
    box.dies()
    return box.goes_on()


@way("disk full in the export of the front")
def full_in_export(box: Box) -> str:
    place, box.wanted = on_full_disk(box), 1
    shutil.rmtree(box.study / "kernels")
    filler = fill(place, 120_000)
    box.command(code=1, said=[FULL])
    box.dies()
    filler.unlink()
    return box.goes_on()


@way("disk full in the report")
def full_in_report(box: Box) -> str:
    place, box.wanted = on_full_disk(box), 1
    filler = fill(place, 60_000)
    box.command("report", "tiny", code=2, said=["error: "])
    box.dies()
    filler.unlink()
    box.command("report", "tiny")
    return "nothing"


@way("a read-only disk, looked at")
def read_only(box: Box) -> str:
    place = on_full_disk(box)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    box.command("status", "tiny", said=["1"])
    box.command(code=1, said=[FULL])
    box.dies()
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    return box.goes_on()


@way("torn journal", "new")
def torn_journal(box: Box) -> str:
    box.url = f"journal://{box.folder}/study.log"
    box.training()
    box.kill_all()
    with open(box.folder / "study.log", "rb+") as journal:
        journal.truncate(journal.seek(0, 2) - 10)
    return box.goes_on()


@way("half a study.db")
def half_a_database(box: Box) -> str:
    box.wanted = 1
    database = box.study / "study.db"
    data = database.read_bytes()
    database.write_bytes(data[: len(data) // 2])
    trained = sorted(box.study.glob("trials/*/last.ckpt"))
    said = box.command("resume", "tiny", code=1)
    box.dies()
    assert said.startswith("error: "), said
    for path in box.study.glob("study.db*"):
        path.unlink()
    box.command("run", str(box.folder / "tiny.yaml"), "--adopt", said=["1 of 1 trials are finished"])
    assert all(path.exists() for path in trained)
    return "the numbers of the trials; not what was trained (--adopt)"


@way("truncated checkpoint of a trial")
def truncated_trial(box: Box) -> str:
    checkpoint = box.training()
    box.kill_all()
    halve(checkpoint)
    return box.goes_on()


@way("truncated checkpoint of the original", "new")
def truncated_original(box: Box) -> str:
    checkpoint = box.training(original=True)
    box.kill_all()
    halve(checkpoint)
    box.goes_on()
    return "the epochs of the original"


@way("damaged kernels/*")
def damaged_kernels(box: Box) -> str:
    box.wanted = 1
    kernels = {path: path.read_bytes() for path in (box.study / "kernels").iterdir()}
    for path in kernels:
        halve(path)
    box.dies()
    lost = box.goes_on()
    assert all(len(path.read_bytes()) >= len(data) for path, data in kernels.items())
    return lost


def halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def once(box: Box, flag: str, said: str, *, expected: str = "no fault", **options: Any) -> str:
    """Let the network or its loader do what the flag says, once, and the study go on."""
    (box.folder / flag).touch()
    box.start(**options)
    box.until(lambda: any(box.folder.glob("* done")))
    box.dies()
    return box.goes_on(said, again=False, expected=expected)


@way("hung data loader (time limit 4 s)", "limited")
def hung_loader(box: Box) -> str:
    once(box, "stuck", "gave no sign of progress for")
    return "nothing: the trial is a timeout"


@way("hung forward pass (time limit 4 s)", "limited")
def hung_forward(box: Box) -> str:
    once(box, "hang", "gave no sign of progress for")
    return "nothing: the trial is a timeout"


@way("sys.exit() in a forward pass")
def exit_in_forward(box: Box) -> str:
    once(box, "exit", "SystemExit: 7", expected="SystemExit: 7")
    return "nothing: the trial is an error"


@way("abort in a forward pass")
def crash(box: Box) -> str:
    return once(box, "crash", "was killed by SIGABRT; a new one takes its place")


@way("segmentation fault in a forward pass")
def fault(box: Box) -> str:
    return once(box, "segfault", "was killed by SIGSEGV; a new one takes its place")


@way("out of memory (a limit of 8 GB)")
def out_of_memory(box: Box) -> str:
    limit = (8 * 2**30,) * 2
    once(box, "greedy", "out_of_memory", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit))
    return "nothing: the trial is out_of_memory"


@way("a clock that jumps a day ahead, then two back")
def clock(box: Box) -> str:
    source, library = box.folder / "clock.c", box.folder / "clock.so"
    source.write_text(CLOCK.replace("FOLDER", str(box.folder)))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    box.training(env={**os.environ, "LD_PRELOAD": str(library)})
    (box.folder / "ahead").touch()
    box.dies()
    box.back()
    (box.folder / "ahead").rename(box.folder / "behind")
    return box.goes_on(again=False)


@way("two runs of different --trials")
def two_runs(box: Box) -> str:
    box.training()
    first, box.wanted = box.process, 4
    box.dies()
    lost = box.goes_on()
    assert first.wait(60) == 0
    return lost


@way("artifacts removed while running")
def artifacts_removed(box: Box) -> str:
    depot = box.folder / "depot"
    box.training("resume", "tiny", f"--trials={box.wanted}", f"--artifacts={depot}")
    for folder in (depot, box.study / "artifacts"):
        shutil.rmtree(folder)
    box.dies()
    return box.goes_on(again=False)


def silent_host(box: Box, url: str) -> str:
    """A host that takes connections and never says anything, and whose password nobody is told."""
    host = box.enter_context(socket.create_server(("127.0.0.1", 0)))
    box.url = url.replace("HOST", f"127.0.0.1:{host.getsockname()[1]}")
    box.dies()
    said = box.command("status", "tiny", code=2, said=["error: "])
    box.back_s = time.monotonic()
    box.start("run", str(box.folder / "tiny.yaml"))
    box.until(lambda: "does not answer" in box.said() or "no proxy answers" in box.said())
    told = [" ".join(one.cmdline()) for one in box.process.children()]
    end(box.process)
    assert SECRET not in said + box.said() + "".join(told)
    return "nothing: refused by `status`"


@way("PostgreSQL's host never answers", "new")
def silent_postgres(box: Box) -> str:
    return silent_host(box, f"postgresql+psycopg://kas:{SECRET}@HOST/kas")


@way("the proxy's host never answers", "new")
def silent_proxy(box: Box) -> str:
    return silent_host(box, "grpc://HOST")


def trained(box: Box) -> dict[Path, bytes]:
    """All that was trained."""
    return {path: path.read_bytes() for path in box.study.rglob("*.ckpt")}


@way("a second storage for the same folder")
def second_storage(box: Box) -> str:
    before, box.url = trained(box), f"journal://{box.folder}/two.log"
    box.dies()
    box.command("run", str(box.folder / "tiny.yaml"), code=2, said=["of another study: its study.id is", "--adopt"])
    assert trained(box) == before
    box.url = None
    box.dies()
    return box.goes_on()


@way("study.id lost")
def lost_identity(box: Box) -> str:
    before = trained(box)
    (box.study / "study.id").unlink()
    box.dies()
    box.command(code=2, said=["it has no study.id that can be read", "--adopt"])
    assert trained(box) == before
    box.command("resume", "tiny", "--adopt")
    return box.goes_on()


@way("a hash in the storage that is a path")
def path_as_hash(box: Box) -> str:
    outside = box.folder.parent / "outside"
    with sqlite3.connect(box.study / "study.db") as database:
        changed = database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'hash'", (json.dumps(str(outside)),)
        )
        assert changed.rowcount == 1
    database.close()
    box.dies()
    box.command("status", "tiny", said=["trial 0 is left out: hash is"])
    box.command("report", "tiny")
    box.command(said=["3 of 3 trials are finished"])
    assert not list(box.folder.parent.glob("outside*"))
    return "the broken trial, which is named"


@way("a study file that is an alias bomb", "new")
def alias_bomb(box: Box) -> str:
    lines = ["a0: &a0 [1, 2]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    (box.folder / "tiny.yaml").write_text("\n".join(lines))
    box.dies()
    box.command(code=2, said=["error: "])
    return "nothing: refused"


@way("a factory that ends with sys.exit(7)", "new")
def exit_in_factory(box: Box) -> str:
    words = ("run", str(box.folder / "tiny.yaml"), "--set", "model.factory=net:leaves")
    box.dies()
    box.command(*words, code=2, said=["it ends with sys.exit(7)"])
    return "nothing: refused"
