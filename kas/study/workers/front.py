"""What happens to the front when a run ends: it is measured in every other runtime, and its kernels are exported.

A kernel may be fast in one runtime alone. So each member is measured in every other runtime that is installed, in one
paired session each, since no selection has made these numbers too good. What was measured is stored kernel by kernel in a
study attribute: a killed process loses one measurement, and nothing is measured twice, on a later run either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from kas.evaluation import OutOfMemory
from kas.evaluation.checkpoints import read_checkpoint, torch_bytes
from kas.evaluation.data import preprocessing_of
from kas.evaluation.inputs import sample_shape
from kas.evaluation.networks import CHECKPOINT_FORMAT, FORMAT, Recipe
from kas.evaluation.runtimes import RUNTIMES, Refusal, Runtime, make_runtime
from kas.evaluation.training import CHECKPOINT
from kas.language import KasError, Kernel
from kas.lowering import source
from kas.lowering.drawing import svg_text
from kas.reporting import stored
from kas.study import attributes as keys
from kas.study.display.events import Listener
from kas.study.storage import records
from kas.study.storage.depot import Slot
from kas.study.storage.files import is_whole_svg, write_bytes, write_if_other, write_text
from kas.study.storage.records import TrialRecord
from kas.study.workers.bench import Bench
from kas.study.workers.pairing import measure, pool

__all__ = ["export_front", "measure_in_other_runtimes"]


def measure_in_other_runtimes(
    study: optuna.Study, bench: Bench, listener: Listener, kernels: Collection[str] | None = None
) -> None:
    """Measure kernels, by their hashes, in each installed runtime but the study's own, where they have not been yet.

    kernels: None for the members of the front.

    A runtime that does not take the original network is noted with its reason and not tried again, until it has another
    version. Does nothing if the cost is the analytic work, or `cost.other_runtimes` is false.
    """
    for name in RUNTIMES if bench.measures and bench.config.cost.other_runtimes else ():
        left = [record for record in _members(study, kernels) if record.program and name not in record.runtimes]
        if not left or name == bench.config.cost.runtime:
            continue
        runtime = make_runtime(name, bench.device)
        if missing := runtime.missing():
            listener.message(f"the front is not measured in {name}: {missing}")
        elif _takes_original(study, bench, runtime, listener):
            _measure_in(study, bench, runtime, left, listener)


def _members(study: optuna.Study, kernels: Collection[str] | None) -> list[TrialRecord]:
    read = records.read(study)
    return (
        records.front(read, records.metric(study).direction)
        if kernels is None
        else [r for r in read if r.hash in kernels and r.outcome == "ok"]
    )


def _takes_original(study: optuna.Study, bench: Bench, runtime: Runtime, listener: Listener) -> bool:
    """Whether a runtime takes the original network; if not, that is noted."""
    known = (stored.attribute(study, keys.RUNTIMES) or {}).get(runtime.name) or {}
    if "refused" in known and known.get("version") == runtime.version():
        return False
    listener.stage(None, "latency", f"in {runtime.name}")
    try:
        original = bench.timed_original(runtime.name)
    except (Refusal, OutOfMemory) as error:
        _note(study, runtime.name, {"version": runtime.version(), "refused": str(error)})
        listener.message(f"the front is not measured in {runtime.name}: {error}")
        return False
    _note(study, runtime.name, {"version": runtime.version(), "memory_format": original.memory_format})
    return True


def _measure_in(study: optuna.Study, bench: Bench, runtime: Runtime, left: Sequence[TrialRecord], listener: Listener) -> None:
    """Measure kernels of the front in one runtime, each kept as soon as it is there."""
    listener.message(f"measuring {len(left)} kernels of the front in {runtime.name}")
    for position, record in enumerate(left, 1):
        listener.stage(record.number, "latency", f"in {runtime.name}, {position} of {len(left)}")
        kernel = Kernel.from_json(str(record.program))
        found: dict[str, Any]
        try:
            found = pool([measure(bench, kernel, bench.solve(kernel)[0], runtime.name)])
        except (Refusal, OutOfMemory) as error:
            found = {"refused": str(error)}
            listener.message(f"{record.hash}: {error}")
        front = stored.attribute(study, keys.FRONT) or {}
        own = front.get(record.hash, {})
        own = {**own, "runtimes": {**own.get("runtimes", {}), runtime.name: found}}
        study.set_user_attr(keys.FRONT, {**front, str(record.hash): own})


def _note(study: optuna.Study, runtime: str, known: Mapping[str, Any]) -> None:
    """Keep what is known of a runtime: its version, and the memory format of the original or why it is refused."""
    noted = stored.attribute(study, keys.RUNTIMES) or {}
    if noted.get(runtime) != known:
        study.set_user_attr(keys.RUNTIMES, {**noted, runtime: known})


def export_front(study: optuna.Study, bench: Bench, listener: Listener) -> None:
    """Write each front kernel to `kernels/`: its program (.json), module (.py), drawing (.svg) and trained weights (.ckpt).

    The module is that of the target with the most MACs in the network as deployed. What is there already is left, unless it
    is damaged.
    """
    for record in records.front(records.read(study), records.metric(study).direction):
        if record.program is None or record.hash is None:
            continue
        kernel = Kernel.from_json(record.program)
        path = write_if_other(bench.folder.kernel(record.hash, ".json"), kernel.to_json() + "\n")
        write_if_other(path.with_suffix(".py"), _module(bench, kernel))
        if not is_whole_svg(path := path.with_suffix(".svg")):
            write_text(path, svg_text(kernel))
        if not _is_whole(path := path.with_suffix(".ckpt")):
            _export_weights(study, bench, record, kernel, path, listener)


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


def _is_whole(checkpoint: Path) -> bool:
    try:
        return bool(read_checkpoint(checkpoint))
    except KasError:
        return False


def _export_weights(
    study: optuna.Study, bench: Bench, record: TrialRecord, kernel: Kernel, path: Path, listener: Listener
) -> None:
    """The weights of the trained network, with what is needed to build it again; kas.load reads it."""
    trained = bench.folder.trial(str(record.hash)) / CHECKPOINT
    bench.depot.bring(trained, Slot.of_finished(study, record.number))
    try:
        state = read_checkpoint(trained)["state_dict"]
    except KasError:
        listener.message(f"no weights for {record.hash}: its checkpoint is not on this machine, or damaged ({trained})")
        return
    _, sizes = bench.solve(kernel)
    made = bench.config.model, bench.config.training.model, bench.data.num_classes, sample_shape(bench.trained.example)
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
    write_bytes(path, torch_bytes(data))
