"""The trained networks of a study, from the weights in its folder: as promoted, or, where nothing was, as searched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from torch import Tensor, nn

from kas.evaluation.checkpoints import read_checkpoint
from kas.evaluation.inputs import sample_shape
from kas.evaluation.networks import Recipe
from kas.evaluation.training import CHECKPOINT
from kas.language import KasError, Kernel
from kas.study.storage import records
from kas.study.storage.promotions import ORIGINAL, chosen, promotions
from kas.study.workers.bench import Bench, Network
from kas.study.workers.promotion import promoted_network

__all__ = ["recipe_of", "searched_network", "trained_network"]


def trained_network(study: optuna.Study, bench: Bench, kernel: Kernel | None, trial: Any) -> nn.Module:
    """The network with a kernel (of a trial; None: the original), on the CPU, in eval mode: that which `export` writes.

    Raises KasError if its weights are not on this machine.
    """
    key = ORIGINAL if kernel is None else kernel.hash
    best = chosen(promotions(study), key, records.metric(study).direction)
    model = searched_network(study, bench, kernel, trial)[0] if best is None else promoted_network(bench, kernel, best)
    return model.cpu().eval()


def searched_network(
    study: optuna.Study, bench: Bench, kernel: Kernel | None, trial: Any
) -> tuple[nn.Module, Recipe, float | None]:
    """The network that the search trained, how it is built, and its metric. Raises as `trained_network`."""
    groups, values, state, value = _weights(study, bench, kernel, trial)
    recipe = recipe_of(bench, bench.trained, bench.config.training.model, kernel, groups, values)
    model = recipe.build(bench.trained.model)
    model.load_state_dict(state)
    return model, recipe, value


def recipe_of(
    bench: Bench, network: Network, overrides: Mapping[str, Any], kernel: Kernel | None, groups: int, values: Mapping[str, Any]
) -> Recipe:
    """How a network of a study is built."""
    classes, shape = bench.data.num_classes, sample_shape(network.example)
    return Recipe.of(bench.config.model, overrides, classes, shape, network.targets, kernel, groups, values)


def _weights(
    study: optuna.Study, bench: Bench, kernel: Kernel | None, trial: Any
) -> tuple[int, Mapping[str, Any], dict[str, Tensor], float | None]:
    """Groups, values, weights and accuracy of the network that the search trained: from `kernels/`, or its own checkpoint."""
    if kernel is None:
        reference = records.reference(study)
        state = _trained(bench.folder.reference / CHECKPOINT, "the original")
        return 1, {}, state, None if reference is None else reference.accuracy
    exported = bench.folder.kernel(kernel.hash, ".ckpt")
    accuracy = trial.user_attrs.get("accuracy")
    if exported.exists():
        data = read_checkpoint(exported)
        return data["groups"], data["values"], data["state_dict"], accuracy
    state = _trained(bench.folder.trial(kernel.hash) / CHECKPOINT, f"kernel {kernel.hash}", exported)
    _, sizes = bench.solve(kernel)
    return sizes.groups, sizes.values, state, accuracy


def _trained(path: Path, what: str, other: Path | None = None) -> dict[str, Tensor]:
    if not path.exists():
        where = f"there is no {path}" if other is None else f"there is neither {other} nor {path}"
        raise KasError(f"the weights of {what} are not on this machine: {where}")
    state = read_checkpoint(path)["state_dict"]
    return {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
