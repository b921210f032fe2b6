"""What happens to the front when a run ends: it is measured again, and its kernels are exported.

One paired session is off by several per cent, and the front is where the luckiest of them gather: chosen for being the
smallest of many, a front member's ratio is too good on average. So each member is timed again in SESSIONS new paired
sessions, and their pooled numbers (the median of the ratios; the widest of the spreads) take the place of the first,
biased one, in a study attribute, since an ended trial cannot change. A kernel that moves back may let others on to the
front; these are measured as well, until every member has been. Nothing is measured twice, on a later run either.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import torch

from kas.evaluation import OutOfMemory, Paired
from kas.evaluation.checkpoints import read_checkpoint
from kas.evaluation.data import preprocessing_of
from kas.evaluation.networks import CHECKPOINT_FORMAT, FORMAT, Recipe
from kas.evaluation.training import CHECKPOINT
from kas.language import KasError, Kernel
from kas.lowering import source
from kas.lowering.drawing import svg_text
from kas.study import attributes as keys
from kas.study.display.events import Listener
from kas.study.storage import records
from kas.study.storage.files import write_atomically, write_text
from kas.study.storage.records import TrialRecord
from kas.study.workers.bench import Bench
from kas.study.workers.trial import measure

__all__ = ["SESSIONS", "export_front", "pool", "remeasure_front"]

SESSIONS = 3


def remeasure_front(study: optuna.Study, bench: Bench, listener: Listener) -> None:
    """Measure every front member that has been measured once only; does nothing if the cost is the analytic work."""
    while bench.measures:
        pooled: dict[str, Any] = study.user_attrs.get(keys.FRONT, {})
        once = [record for record in records.front(records.read(study)) if record.hash and record.hash not in pooled]
        if not once:
            return
        listener.message(f"measuring {len(once)} kernels of the front again")
        for position, record in enumerate(once, 1):
            listener.stage(record.number, "latency", f"again, {position} of {len(once)}")
            pooled = {**pooled, str(record.hash): _measure_again(bench, record)}
            study.set_user_attr(keys.FRONT, pooled)


def pool(sessions: Sequence[Paired]) -> dict[str, Any]:
    """Several paired sessions as one measurement, with the names of the user attributes; milliseconds, ratios."""
    ratio = statistics.median(session.ratio for session in sessions)
    return {
        "latency_ms": statistics.median(session.candidate_ms for session in sessions),
        "original_latency_ms": statistics.median(session.original_ms for session in sessions),
        "ratio": ratio,
        "ratio_low": min(session.ratio_low for session in sessions),
        "ratio_high": max(session.ratio_high for session in sessions),
        "speedup": 1 / ratio,
        "measured": len(sessions),
    }


def export_front(study: optuna.Study, bench: Bench, listener: Listener) -> None:
    """Write each front kernel to `kernels/`: its program (.json), module (.py), drawing (.svg) and trained weights (.ckpt).

    The module is that of the target with the most MACs in the network as deployed. What is there already is left.
    """
    for record in records.front(records.read(study)):
        if record.program is None or record.hash is None:
            continue
        kernel = Kernel.from_json(record.program)
        path = bench.folder.kernel(record.hash, ".json")
        if not path.exists():
            write_text(path, kernel.to_json() + "\n")
        if not (path := path.with_suffix(".py")).exists():
            write_text(path, _module(bench, kernel))
        if not (path := path.with_suffix(".svg")).exists():
            write_text(path, svg_text(kernel))
        if not (path := path.with_suffix(".ckpt")).exists():
            _export_weights(bench, record, kernel, path, listener)


def _measure_again(bench: Bench, record: TrialRecord) -> Mapping[str, Any]:
    kernel = Kernel.from_json(str(record.program))
    sizes, _ = bench.solve(kernel)
    try:
        return pool([measure(bench, kernel, sizes) for _ in range(SESSIONS)])
    except OutOfMemory:  # a smaller device than the one that measured it first, whose numbers stay
        return {"measured": 1}


def _module(bench: Bench, kernel: Kernel) -> str:
    sizes, _ = bench.solve(kernel)
    target = max(bench.deployed.targets, key=lambda target: target.macs)
    return source(
        kernel,
        channels=target.channels,
        size=target.size,
        groups=sizes.groups,
        values=sizes.values[target.name],
    )


def _export_weights(bench: Bench, record: TrialRecord, kernel: Kernel, path: Path, listener: Listener) -> None:
    """The weights of the trained network, with what is needed to build it again; kas.load reads it."""
    trained = bench.folder.trial(str(record.hash)) / CHECKPOINT
    try:
        state = read_checkpoint(trained)["state_dict"]
    except KasError:
        listener.message(f"no weights for {record.hash}: its checkpoint is not on this machine ({trained})")
        return
    _, sizes = bench.solve(kernel)
    made = bench.config.model, bench.config.training.model, bench.data.num_classes, bench.trained.example.shape[1:]
    accuracy = {"split": "validation", "value": record.accuracy}
    metadata = {"format": FORMAT, "kernel": kernel.hash, "weights": "search", "accuracy": accuracy}
    data = {
        "format": CHECKPOINT_FORMAT,
        "metadata": {**metadata, "preprocessing": preprocessing_of(bench.data)},
        "recipe": Recipe.of(*made, bench.trained.targets, kernel, sizes.groups, sizes.values).to_dict(),
        "program": kernel.to_json(),
        "groups": sizes.groups,
        "values": {name: dict(values) for name, values in sizes.values.items()},
        "accuracy": record.accuracy,
        "state_dict": {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")},
    }
    write_atomically(path, lambda temporary: torch.save(data, temporary))
