"""Which adapter stands around a kernel at each target: decided once for a study, stored with its targets, read by all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import optuna

from kas.evaluation.adapters import Judge, cheaper_by_work, choose_adapters, faster
from kas.evaluation.inputs import samples
from kas.language import KasError
from kas.reporting import stored
from kas.solvers import Target
from kas.study import attributes as keys
from kas.study.storage.claims import Claims
from kas.study.workers.bench import Bench, Network
from kas.study.workers.preflight import check_budget

__all__ = ["settle_adapters", "stored_targets"]


def stored_targets(study: optuna.Study) -> dict[str, list[Target]]:
    """The targets of a study's `deployed` and `trained` network; empty if it has none yet."""
    data: Mapping[str, list[dict[str, object]]] = stored.attribute(study, keys.TARGETS) or {}
    return {network: [Target.from_dict(target) for target in targets] for network, targets in data.items()}


def settle_adapters(study: optuna.Study, bench: Bench, claims: Claims, wait: Callable[[], None]) -> bool:
    """Give the targets of the bench the adapters of the study; decide on these if nobody has, and store the targets.

    With `targets.adapter: auto` that is the faster one in the study's runtime on this device, or the one of less work
    where nothing measured decides. Whether it was decided here.
    """
    first = stored.attribute(study, keys.TARGETS) is None and claims.do("adapters", lambda: _decide(study, bench), wait)
    bench.adopt(stored_targets(study))
    return first


def _decide(study: optuna.Study, bench: Bench) -> bool:
    if stored.attribute(study, keys.TARGETS) is not None:  # somebody else did while we waited
        return False
    networks = {"deployed": bench.deployed, "trained": bench.trained}
    targets = {name: list(network.targets) for name, network in networks.items()}
    if bench.config.targets.adapter == "auto":
        targets = _cheapest(bench)
    data = {name: [target.to_dict() for target in found] for name, found in targets.items()}
    study.set_user_attr(keys.TARGETS, json.dumps(data))
    return True


def _cheapest(bench: Bench) -> dict[str, list[Target]]:
    """The targets of both networks; those of the trained one have the adapters of the deployed one's of the same name."""
    deployed = choose_adapters(bench.deployed.targets, _judge(bench, bench.deployed))
    try:
        check_budget(deployed, bench.budget)
    except KasError:  # a projection has work and parameters of its own; copies have none
        deployed = list(bench.deployed.targets)
    prefer = {target.name: target.prefer for target in deployed}
    trained = [replace(target, prefer=prefer.get(target.name, target.prefer)) for target in bench.trained.targets]
    return {"deployed": deployed, "trained": trained}


def _judge(bench: Bench, network: Network) -> Judge:
    if not bench.measures:
        return cheaper_by_work
    batch, cost = samples(network.example), bench.config.cost
    return faster(network.model, batch, bench.device, cost, bench.runtime(), bench.lock)
