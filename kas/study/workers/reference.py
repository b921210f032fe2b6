"""The reference: the original network, trained and timed exactly as a candidate is, once for a study."""

from __future__ import annotations

import json
from collections.abc import Callable

import optuna

from kas.evaluation import Paired, TrainingDiverged, compare
from kas.evaluation.checkpoints import read_checkpoint
from kas.evaluation.training import CHECKPOINT
from kas.language import KasError
from kas.study import attributes as keys
from kas.study.display.events import Listener
from kas.study.storage import records
from kas.study.storage.claims import Claims
from kas.study.storage.depot import Slot
from kas.study.storage.records import Reference
from kas.study.workers.bench import Bench, replaced_work
from kas.study.workers.trial import train_on

__all__ = ["ensure_reference"]


def ensure_reference(
    study: optuna.Study, bench: Bench, claims: Claims, listener: Listener, wait: Callable[[], None]
) -> Reference:
    """The study's reference; made here if nobody has made it and nobody is at it, otherwise waited for.

    Its training goes on from its checkpoint after a crash. It is no trial and counts nowhere.
    """
    known = records.reference(study)
    if known is None:
        known = claims.do("reference", lambda: _make(study, bench, listener), wait)
    elif bench.config.training.init == "original":
        bench.depot.bring(bench.folder.reference / CHECKPOINT, Slot.of_reference(study))
        claims.do("reference", lambda: _restore(study, bench, listener), wait)
    listener.reference_ready(known)
    return known


def _make(study: optuna.Study, bench: Bench, listener: Listener) -> Reference:
    known = records.reference(study)
    if known is not None:  # somebody else made it while we waited
        return known
    paired = _latency(bench, listener)
    try:
        result = train_on(bench, bench.fresh_original(), bench.folder.reference, listener, None, Slot.of_reference(study))
    except TrainingDiverged as error:
        raise KasError(
            f"the original network cannot be trained as the study file says: {error}; "
            f"lower training.lr, or choose another training.precision (or training.metric, if that is what is not finite)"
        ) from error
    targets = bench.deployed.targets
    reference = Reference(
        accuracy=round(result.accuracy, 6),
        latency_ms=paired.original_ms if paired else None,
        runtime=paired.runtime if paired else None,
        runtime_version=paired.version if paired else None,
        memory_format=paired.original_format if paired else None,
        macs=sum(target.macs for target in targets),
        params=sum(target.params for target in targets),
        work=replaced_work(targets),
        device=bench.device_name,
        epochs=result.epochs,
        seconds=round(result.seconds, 3),
        curve=[round(report.accuracy, 6) for report in result.history],
    )
    study.set_user_attr(keys.REFERENCE, json.dumps(keys.finite(reference.to_dict())))
    return reference


def _restore(study: optuna.Study, bench: Bench, listener: Listener) -> None:
    """Train the original again where its checkpoint, from which the candidates start, is damaged: its weights are the same."""
    path = bench.folder.reference / CHECKPOINT
    try:
        if path.exists():
            read_checkpoint(path)
    except KasError as error:
        listener.message(f"the original is trained again: {error}")
        train_on(bench, bench.fresh_original(), bench.folder.reference, listener, None, Slot.of_reference(study))


def _latency(bench: Bench, listener: Listener) -> Paired | None:
    """The deployed original, measured in the same way as a candidate: paired, with itself."""
    if not bench.measures:
        return None
    listener.stage(None, "latency")
    original = bench.timed_original()
    return compare(original, original, bench.measured_example, bench.config.cost, lock=bench.lock, runtime=bench.runtime())
