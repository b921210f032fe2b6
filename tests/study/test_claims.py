"""Work that one worker does for all."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from toy import make_queue

from kas.study.storage.claims import Claims
from kas.study.storage.liveness import this_process

KEY = "kas.claim.work"


def claims(tmp_path: Path, **options: float) -> tuple[Claims, object]:
    q = make_queue(None, tmp_path)
    return Claims(q.study, q.mutex, **options), q.study


def test_work_is_done_by_one_at_a_time(tmp_path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()

    def worker() -> None:
        claims(tmp_path)[0].do("work", work, lambda: time.sleep(0.005))

    threads = [threading.Thread(target=worker) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_a_dead_claim_is_taken_over_and_a_failed_one_let_go(tmp_path: Path) -> None:
    one, study = claims(tmp_path)
    study.set_user_attr(KEY, {"owner": {**this_process(), "start": 1}, "beat": 3})
    with pytest.raises(ValueError, match="broken"):
        one.do("work", lambda: (_ for _ in ()).throw(ValueError("broken")), lambda: pytest.fail("waits"))
    assert study.user_attrs[KEY] is None
    assert one.do("work", lambda: 5, lambda: pytest.fail("waits")) == 5


def test_a_claim_on_another_machine_is_waited_for_while_it_beats(tmp_path: Path) -> None:
    one, study = claims(tmp_path, grace_s=0.2)
    owner = {**this_process(), "machine": "another"}
    study.set_user_attr(KEY, {"owner": owner, "beat": 0})
    waits = []

    def wait() -> None:
        waits.append(1)
        time.sleep(0.05)
        if len(waits) < 10:
            study.set_user_attr(KEY, {"owner": owner, "beat": len(waits)})

    assert one.do("work", lambda: "done", wait) == "done"
    assert len(waits) > 10


def test_it_beats_while_it_works(tmp_path: Path) -> None:
    one, study = claims(tmp_path, heartbeat_s=0.01)

    def work() -> int:
        deadline = time.monotonic() + 10
        while study.user_attrs[KEY]["beat"] < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return int(study.user_attrs[KEY]["beat"])

    assert one.do("work", work, lambda: None) >= 2
