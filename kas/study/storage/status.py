"""How a study stands: its status as JSON data, the runtimes that its front was measured in, what it replaces (no torch)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from kas.language.kernel import Kernel
from kas.reporting import naming, stored
from kas.reporting.parsing import loads, text
from kas.study import attributes as keys
from kas.study.storage import promotions, records
from kas.study.storage.files import StudyFolder
from kas.zoo.matching import name_of

__all__ = ["replaced", "runtime_name", "runtimes", "status"]


def runtime_name(study: optuna.Study) -> str:
    """The runtime whose latency is the study's cost, as in `cost.runtime`."""
    return text(loads(loads(stored.attribute(study, keys.CONFIG)).get("cost")).get("runtime")) or "eager"


def runtimes(study: optuna.Study) -> Mapping[str, Mapping[str, Any]]:
    """The runtimes that the front was measured in, the study's own first: `version`, `memory_format` of the original.

    One that does not take the original network has `refused`, the reason. Nothing where the cost is the analytic work.
    """
    if records.cost_name(study) != "latency":
        return {}
    original = records.reference(study)
    own = {"version": original.runtime_version, "memory_format": original.memory_format} if original else {}
    return {runtime_name(study): own, **(stored.attribute(study, keys.RUNTIMES) or {})}


def replaced(study: optuna.Study) -> str:
    """What is replaced in the network as deployed, in words; empty if the study does not say."""
    return naming.replaced(stored.attribute(study, keys.TARGETS))


def status(study: optuna.Study, folder: Path) -> dict[str, Any]:
    """The status of a study as JSON data. `folder`: of the study, where the kernel files are."""
    trials = stored.trials(study)
    read = records.read(study)
    original = records.reference(study)
    place = StudyFolder(folder)
    own, others = runtime_name(study), list(runtimes(study))[1:]
    return {
        "name": study.study_name,
        "finished": records.finished(trials),
        "running": records.running(trials),
        "trials": records.wanted(study),
        "outcomes": dict(sorted(Counter(record.outcome for record in read if record.outcome).items())),
        "metric": records.metric(study).to_dict(),
        "original": {
            "accuracy": original.accuracy if original else None,
            "latency_ms": original.latency_ms if original else None,
        },
        "broken": promotions.broken(study),
        "front": [
            {
                "hash": record.hash,
                "name": name_of(str(record.hash)),
                "formula": naming.formula(Kernel.from_json(record.program)) if record.program else None,
                "accuracy": record.accuracy,
                "latency_ms": record.latency_ms,
                "macs": record.macs,
                "params": record.params,
                "speedup": record.speedup,
                "json": str(place.kernel(str(record.hash), ".json")),
                "runtimes": {own: record.speedup, **{name: record.runtimes.get(name, {}).get("speedup") for name in others}},
            }
            for record in records.front(read, records.metric(study).direction)
        ],
    }
