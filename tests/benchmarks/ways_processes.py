"""Ways in which processes end: kills, signals, hangs, exits, memory, the clock; for `deaths.py`."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
from death_box import Box, way
from servers import Server

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
    box.start(env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})  # Python says what it imports
    box.until(lambda: "jsonargparse" in box.said())
    box.process.terminate()
    box.dies()
    box.ends(130, "interrupted")
    return box.goes_on()


@way("SIGSTOP of one of two workers, SIGCONT later")
def stop_worker(box: Box) -> str:
    box.wanted = 5  # the stopped worker does not hold the last trial
    box.training("resume", "tiny", f"--trials={box.wanted}", "--workers=2")
    stopped = box.process.children()[0]
    stopped.send_signal(signal.SIGSTOP)
    box.dies()
    box.back()
    stopped.send_signal(signal.SIGCONT)
    return box.goes_on(again=False)


def once(box: Box, flag: str, said: str, *, expected: str = "no fault", **options: Any) -> str:
    """Let the network or its loader do what the flag says, once, and the study go on."""
    (box.folder / flag).touch()
    box.start(**options)
    box.until(lambda: any(box.folder.glob("* done")))
    box.dies()
    return box.goes_on(said, again=False, expected=expected)


@way("hung data loader (time limit 4 s)", "limited")
def hung_loader(box: Box) -> str:
    box.training()  # earlier it would hang where the data are looked at, which is seen after ten minutes
    (box.folder / "stuck").touch()
    box.until(lambda: any(box.folder.glob("* done")))
    box.dies()
    box.goes_on("gave no sign of progress for", again=False)
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
