"""Studies to report on: a kas study of forty trials with every outcome, made up and seeded; a plain Optuna study."""

from __future__ import annotations

import json
import math
import random
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

SEPARABLE = (
    '{"format":"kas.kernel/1","rank":2,"steps":[{"op":"conv","ins":[0],"to":"C","k":[3,3],"d":[1,1],"depthwise":true},'
    '{"op":"relu","ins":[1]},{"op":"fc","ins":[2],"to":"C"}]}'
)
DRAWING = (
    '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n'
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 120" font-family="sans-serif" font-size="14">'
    '<g fill="#e8f0ee" stroke="#1f7a68"><rect x="5" y="40" width="70" height="40" rx="8"/>'
    '<rect x="105" y="40" width="90" height="40" rx="8"/><rect x="225" y="40" width="50" height="40" rx="8"/>'
    '<rect x="305" y="40" width="50" height="40" rx="8"/></g>'
    '<path d="M75 60h30M195 60h30M275 60h30" stroke="#555" fill="none"/>'
    '<g text-anchor="middle"><text x="40" y="65">input</text><text x="150" y="65">conv 3x3 dw</text>'
    '<text x="250" y="65">relu</text><text x="330" y="65">fc</text></g></svg>'
)
CONFIG = {
    "format": "kas.study/1",
    "name": "digits",
    "trials": 40,
    "data": {"name": "digits"},
    "model": {"name": "small_resnet", "args": {"width": 64, "blocks": 1}},
    "training": {"epochs": 6, "optimizer": "adamw", "metric": "accuracy"},
    "cost": {"batch_size": 32, "runtime": "eager"},
    "objectives": {"cost": "latency"},
    "budget": {"macs": 0.3},
}
REFERENCE = {
    "accuracy": 0.913,
    "latency_ms": 48.2,
    "macs": 141_557_760,
    "params": 1_327_104,
    "work": 142e6,
    "epochs": 6,
    "device": "AMD EPYC 7B13, 2 threads",
}
START = datetime(2026, 3, 2, 9, 30)
MISSES = {
    "too_slow": "2.31 times the original's latency; the limit is 1.2",
    "unhealthy": "the output does not depend on the input (relative change 3e-09)",
    "infeasible": "macs: target layer3.0.conv1 needs at least 0.41 of what it replaces; the limit is 0.3",
    "timeout": "more than 120 s of training",
    "duplicate": "the same kernel as trial 4",
    "out_of_memory": "training batch of 64",
}


def kas_trial(number: int, rng: random.Random, outcome: str = "ok") -> FrozenTrial:
    """A made-up trial with the user attributes of a kas trial."""
    ratio = rng.uniform(0.42, 1.2)
    accuracy = round(0.94 - 0.18 * rng.random() ** 2 / ratio, 4)
    digest = f"{rng.getrandbits(256):064x}"[:16]
    attributes: dict[str, Any] = {"outcome": outcome, "hash": digest, "program": SEPARABLE, "device": "cpu"}
    state, values = TrialState.COMPLETE, [accuracy, ratio]
    if outcome == "ok":
        attributes |= {"accuracy": accuracy, "latency_ms": 48.2 * ratio, "original_latency_ms": 48.2, "ratio": ratio}
        attributes |= {"ratio_low": ratio * 0.97, "ratio_high": ratio * 1.03, "speedup": 1 / ratio, "epochs": 6}
        attributes |= {"macs": int(41_000_000 * ratio), "params": int(300_000 * ratio), "train_seconds": 11.0}
    else:
        attributes["reason"] = MISSES.get(outcome, "RuntimeError: it did not work")
        state, values = (TrialState.FAIL if outcome == "error" else TrialState.PRUNED), []
    start = START + timedelta(seconds=20 * number)
    trial = create_trial(
        state=state,
        values=values or None,
        user_attrs=attributes,
        params={"k0.s00.op": "conv", "k0.s00.arg": number},
        distributions={
            "k0.s00.op": CategoricalDistribution(["conv", "fc", "end"]),
            "k0.s00.arg": IntDistribution(0, 2**40),
        },
    )
    trial.datetime_start, trial.datetime_complete = start, start + timedelta(seconds=4 + 10 * (outcome == "ok"))
    return trial


def kas_study(trials: int = 40, seed: int = 3, name: str = "digits", storage: Any = None) -> optuna.Study:
    """A kas study with `trials` made-up trials of every outcome."""
    rng = random.Random(seed)
    study = optuna.create_study(study_name=name, directions=["maximize", "minimize"], storage=storage)
    study.set_metric_names(["accuracy", "latency (x original)"])
    study.set_user_attr("kas.format", "kas.study/1")
    study.set_user_attr("kas.config", json.dumps(CONFIG))
    study.set_user_attr("kas.reference", json.dumps(REFERENCE))
    study.set_user_attr(
        "kas.targets",
        json.dumps(
            {"deployed": [{"name": f"layer{i}", "in_channels": 64, "out_channels": 64, "size": [8, 8]} for i in range(9)]}
        ),
    )
    for number in range(trials):
        missed = rng.choices(["ok", *MISSES, "error"], [26, 5, 3, 3, 1, 2, 1, 1])[0]
        study.add_trial(kas_trial(number, rng, missed if number > 3 else "ok"))
    return study


def plain_study(objectives: int = 2, trials: int = 25) -> optuna.Study:
    """A study that kas knows nothing of."""
    study = optuna.create_study(study_name="a plain study", directions=["minimize"] * objectives)
    rng = random.Random(0)
    for number in range(trials):
        x, kind = rng.uniform(0, 5), rng.choice(["round", "square"])
        values = [x * x, (x - 2) ** 2 + (kind == "round"), abs(math.sin(x))][:objectives]
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if number % 6 else TrialState.PRUNED,
                values=values if number % 6 else None,
                params={"x": x, "kind": kind},
                distributions={"x": FloatDistribution(0, 5), "kind": CategoricalDistribution(["round", "square"])},
            )
        )
    return study
