"""The network of a study as a file: as it was promoted, or, where nothing was, as the search trained it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import Tensor, nn
from torch.utils import _pytree

from kas import __version__
from kas.evaluation.data import preprocessing_of
from kas.evaluation.inputs import call, head, sample_shape
from kas.evaluation.networks import FORMAT, Recipe, load, write_state
from kas.evaluation.outputs import output_of
from kas.language import KasError, Kernel
from kas.lowering.export import TOLERANCE, Exported, export_module
from kas.replacement.copying import cloned
from kas.study.storage import records
from kas.study.storage.files import StudyFolder, write_atomically, write_json
from kas.study.storage.promotions import ORIGINAL, Promotion, chosen, promotions
from kas.study.workers.adapters import stored_targets
from kas.study.workers.bench import Bench, Network
from kas.study.workers.exporting import agreement
from kas.study.workers.origin import study_config
from kas.study.workers.promotion import deployed_data, promoted_network
from kas.study.workers.trained import recipe_of, searched_network

__all__ = ["Shipped", "find_network", "write_network"]


@dataclass(frozen=True)
class Shipped:
    """A trained network of a study and what its file says of it.

    model: with its weights, on the CPU. original: the network that it was made of. samples: inputs [N, ...], of the
    validation split. output: `model.output`. said: what it is, for people. remark: what they must know, or None.
    """

    model: nn.Module
    original: nn.Module
    recipe: Recipe
    samples: Any
    metadata: Mapping[str, Any]
    said: str
    remark: str | None = None
    output: str | None = None


def find_network(study: optuna.Study, folder: StudyFolder, kernel: Kernel | None, trial: Any) -> Shipped:
    """The network to deploy with a kernel (of a trial; None: the original): of its promotions the one that validates best.

    Where there is none, the one that the search trained, and the remark says so. Raises KasError if the weights are not on
    this machine.
    """
    config = study_config(study, folder.root)
    bench = Bench(replace(config, device="cpu"), folder)
    bench.adopt(stored_targets(study))
    key = ORIGINAL if kernel is None else kernel.hash
    found = [one for one in promotions(study) if one.kernel == key]
    best = chosen(found, key, records.metric(study).direction)
    if best is not None:
        return _promoted(study, bench, kernel, best, found)
    return _searched(study, bench, kernel, trial)


def _promoted(study: optuna.Study, bench: Bench, kernel: Kernel | None, best: Promotion, found: Sequence[Promotion]) -> Shipped:
    tested = {one.seed: one.test for one in found if one.epochs == best.epochs}
    accuracy = {"split": "test", "value": best.test, "validation": best.validation, "seed": best.seed, "epochs": best.epochs}
    seeds = {str(seed): value for seed, value in tested.items()}
    model, data = promoted_network(bench, kernel, best), deployed_data(bench)
    said = f"as promoted, seed {best.seed}, {records.metric(study).name} {best.test:.4f} on the test split"
    recipe = recipe_of(bench, bench.deployed, bench.config.cost.model, kernel, best.groups, best.values)
    metadata = {
        "study": study.study_name,
        "weights": "promoted",
        "accuracy": {"metric": records.metric(study).name, **accuracy, "seeds": seeds},
    }
    return _shipped(bench, bench.deployed, model, recipe, data, metadata, said)


def _searched(study: optuna.Study, bench: Bench, kernel: Kernel | None, trial: Any) -> Shipped:
    network, config = bench.trained, bench.config
    model, recipe, value = searched_network(study, bench, kernel, trial)
    accuracy = {
        "metric": records.metric(study).name,
        "split": "validation",
        "value": value,
        "seed": config.seed,
        "epochs": config.training.epochs,
    }
    metadata = {"study": study.study_name, "weights": "search", "accuracy": accuracy}
    chosen_kernel = "" if kernel is None else f" --kernel {kernel.hash}"
    narrow = sample_shape(network.example) != sample_shape(bench.deployed.example) or config.training.model != config.cost.model
    which = "only the narrow network of the search has been trained" if narrow else "only the search has trained this network"
    remark = f"{which}; `python -m kas.study promote {study.study_name}{chosen_kernel}` trains the one that is deployed"
    return _shipped(bench, network, model, recipe, bench.data, metadata, "as trained by the search", remark)


def _shipped(
    bench: Bench,
    network: Network,
    model: nn.Module,
    recipe: Recipe,
    data: Any,
    metadata: Mapping[str, Any],
    said: str,
    remark: str | None = None,
) -> Shipped:
    samples, config = _samples(bench, data), bench.config
    name = config.model.factory or config.model.name
    kernel = ORIGINAL if recipe.program is None else Kernel.from_json(recipe.program).hash
    metadata = {
        "format": FORMAT,
        "version": __version__,
        "kernel": kernel,
        "network": name,
        **_described(samples),
        "preprocessing": preprocessing_of(data),
        **metadata,
    }
    shapes = [list(tensor.shape[1:]) for tensor in _pytree.tree_leaves(samples)]
    said = f"{name} {said}, input {' and '.join('x'.join(map(str, shape)) for shape in shapes)}"
    return Shipped(model.cpu().eval(), network.model, recipe, samples, metadata, said, remark, config.model.output)


def _described(samples: Any) -> dict[str, Any]:
    """The inputs as metadata: `input`, or, of several, `inputs` in the order in which they are given."""
    names = list(samples) if isinstance(samples, dict) else None
    tensors = _pytree.tree_leaves(samples)
    names = names or (["input"] if len(tensors) == 1 else [f"input_{number}" for number in range(len(tensors))])
    each = [
        {"name": name, "shape": ["batch", *tensor.shape[1:]], "dtype": str(tensor.dtype).removeprefix("torch.")}
        for name, tensor in zip(names, tensors, strict=True)
    ]
    return {"input": each[0]} if len(each) == 1 else {"inputs": each}


def _samples(bench: Bench, data: Any) -> Any:
    """A few validation samples."""
    return head(bench.batches.first(data, "val").inputs, 8)


def write_network(shipped: Shipped, out: Path, form: str) -> str:
    """Write it as `onnx`, `exported-program` or `state-dict`, checked, and its metadata beside it; says how it was checked."""
    found: list[str] = []

    def write(temporary: Path) -> None:
        found.append(_WRITERS[form](shipped, temporary))

    write_atomically(out, write)
    write_json(out.with_name(f"{out.name}.json"), shipped.metadata)
    return found[0]


class _OneOutput(nn.Module):
    """A network of one input whose trained output is the only one: `[N, ...] -> [N, ...]`."""

    def __init__(self, shipped: Shipped) -> None:
        super().__init__()
        self.network, self.key = shipped.model, shipped.output

    def forward(self, inputs: Tensor) -> Tensor:
        return output_of(self.network(inputs), self.key)


class _Several(_OneOutput):
    """The same of a network of several inputs, one after the other."""

    def __init__(self, shipped: Shipped) -> None:
        super().__init__(shipped)
        self.names = list(shipped.samples) if isinstance(shipped.samples, dict) else None

    def forward(self, *inputs: Tensor) -> Tensor:
        named = dict(zip(self.names or (), inputs, strict=False))
        return output_of(self.network(**named) if named else self.network(*inputs), self.key)


def _write_module(form: str) -> Callable[[Shipped, Path], str]:
    def write(shipped: Shipped, path: Path) -> str:
        one = isinstance(shipped.samples, Tensor)
        samples = shipped.samples if one else tuple(_pytree.tree_leaves(shipped.samples))
        module = _OneOutput(shipped) if one else _Several(shipped)
        found: Exported = export_module(module, samples, path, form, shipped.metadata)
        return agreement(found, form)

    return write


def _write_state(shipped: Shipped, path: Path) -> str:
    write_state(path, shipped.model, shipped.recipe, shipped.metadata)
    loaded = load(path, shipped.original if shipped.recipe.factory else None)
    with torch.no_grad():
        both = (loaded, shipped.model)
        read, written = (output_of(call(network, cloned(shipped.samples)), shipped.output) for network in both)
    if not torch.allclose(read, written, rtol=0, atol=TOLERANCE * float(written.abs().max()), equal_nan=True):
        raise KasError(f"{path}: the network that is read from it differs from the one that was written")
    return "read again and equal"


_WRITERS: dict[str, Callable[[Shipped, Path], str]] = {
    "onnx": _write_module("onnx"),
    "exported-program": _write_module("exported-program"),
    "state-dict": _write_state,
}
