"""A kernel of a study as a file: alone, at the sizes of one replaced layer, or as the whole trained network that it is in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.study.schema import nearest
from kas.study.storage.files import StudyFolder, write_atomically, write_text

if TYPE_CHECKING:
    import optuna
    from torch import Tensor, nn

    from kas.solvers import Target

__all__ = ["FORMATS", "NETWORK_FORMATS", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """What is to be exported: a kernel (of a trial of a study, whose files are in `folder`), for which layer or network."""

    study: optuna.Study
    trial: optuna.trial.FrozenTrial
    kernel: Kernel
    folder: StudyFolder
    layer: str | None = None
    network: bool = False


def _to_json(wanted: Wanted, out: Path) -> str:
    write_text(out, wanted.kernel.to_json() + "\n")
    return ""


def _to_drawing(wanted: Wanted, out: Path) -> str:
    write_atomically(out, wanted.kernel.draw)
    return ""


def _to_dot(wanted: Wanted, out: Path) -> str:
    from kas.lowering.dot import dot_text

    write_text(out, dot_text(wanted.kernel))
    return ""


def _to_py(wanted: Wanted, out: Path) -> str:
    """The standalone module at the sizes of one replaced layer of the network as deployed."""
    from kas.lowering import source

    target, sizes = _target(wanted), _sizes(wanted)
    values = sizes["values"][target.name]
    write_text(out, source(wanted.kernel, channels=target.channels, size=target.size, groups=sizes["groups"], values=values))
    return f"  (for {_words(target)})"


def _to_module(form: str) -> Callable[[Wanted, Path], str]:
    """A writer of `onnx` or `exported-program`."""

    def write(wanted: Wanted, out: Path) -> str:
        from kas.lowering.export import BATCHES, Exported, export_module

        module, shape, what = _network(wanted) if wanted.network else _layer(wanted)
        found: list[Exported] = []
        write_atomically(out, lambda temporary: found.append(export_module(module, shape, temporary, form)))
        runtime = "onnxruntime" if form == "onnx" else "the loaded program"
        batches = ", ".join(map(str, BATCHES[:-1]))
        difference = f"{runtime} differs from torch by at most {found[0].difference:.1e}"
        return f"  ({what}; {difference} at batches {batches} and {BATCHES[-1]})"

    return write


def _layer(wanted: Wanted) -> tuple[nn.Module, tuple[int, ...], str]:
    """The kernel at the sizes of one layer: with the weights that were trained there, if these are of the same sizes."""
    import torch

    from kas.lowering import build

    target, sizes = _target(wanted), _sizes(wanted)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build(
            wanted.kernel,
            channels=target.channels,
            size=target.size,
            groups=sizes["groups"],
            values=sizes["values"][target.name],
        )
    path = wanted.folder.kernel(wanted.kernel.hash, ".ckpt")
    trained = _trained_here(module, target.name, path) if path.exists() else None
    if trained is not None:
        module.load_state_dict(trained)
    weights = "trained weights" if trained is not None else "initial weights"
    return module, (target.channels, *target.size), f"for {_words(target)}; {weights}"


def _trained_here(module: nn.Module, layer: str, path: Path) -> dict[str, Tensor] | None:
    """The weights of the (first) kernel at a layer in a checkpoint of the trained network; None if they do not fit."""
    from kas.evaluation.checkpoints import read_checkpoint

    state = read_checkpoint(path)["state_dict"]
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    for prefix in (f"{layer}.", f"{layer}.templates.0."):
        found = {key: state[prefix + key] for key in shapes if prefix + key in state}
        if {key: value.shape for key, value in found.items()} == shapes:
            return found
    return None


def _network(wanted: Wanted) -> tuple[nn.Module, tuple[int, ...], str]:
    """The network that gave the accuracy, with the kernel and the weights of its training."""
    from kas.replacement import replace as with_kernel
    from kas.study.workers.bench import Bench

    config = _config(wanted)
    bench = Bench(replace(config, device="cpu"), wanted.folder)
    groups, values, state = _weights(wanted, bench)
    sizes = SimpleNamespace(groups=groups, values=values)
    network, targets = bench.trained, list(bench.trained.targets)
    model = with_kernel(network.model, wanted.kernel, network.example[:2], targets=targets, sizes=sizes)
    model.load_state_dict(state)
    shape = tuple(int(size) for size in network.example.shape[1:])
    name = config.model.factory or config.model.name
    return model, shape, f"{name} as trained, input {'x'.join(map(str, shape))}"


def _weights(wanted: Wanted, bench: Any) -> tuple[int, Mapping[str, Any], dict[str, Tensor]]:
    """Groups, values and weights of the trained network: of the front's checkpoint, or of the trial's own."""
    from kas.evaluation.checkpoints import read_checkpoint
    from kas.evaluation.training import CHECKPOINT

    key = wanted.kernel.hash
    exported, own = wanted.folder.kernel(key, ".ckpt"), wanted.folder.trial(key) / CHECKPOINT
    if exported.exists():
        data = read_checkpoint(exported)
        return data["groups"], data["values"], data["state_dict"]
    if not own.exists():
        raise KasError(f"the weights of kernel {key} are not on this machine: there is neither {exported} nor {own}")
    _, sizes = bench.solve(wanted.kernel)
    state = {name.removeprefix("model."): value for name, value in read_checkpoint(own)["state_dict"].items()}
    return sizes.groups, sizes.values, state


def _config(wanted: Wanted) -> Any:
    """The study's configuration; factories are only taken from its own folder."""
    from kas.study.storage.create import stored_config
    from kas.study.workers.origin import allow_imports_beside, recall, refuse_factories_of_storage

    kept = recall(wanted.folder.root)
    if kept is None:
        config = stored_config(wanted.study)
        refuse_factories_of_storage(wanted.study.study_name, config)
        return config
    allow_imports_beside(kept[1])
    return kept[0]


def _sizes(wanted: Wanted) -> Mapping[str, Any]:
    """Groups and values of the kernel in the deployed network."""
    sizes: Mapping[str, Any] | None = wanted.trial.user_attrs.get("sizes")
    if sizes is None or _target(wanted).name not in sizes.get("values", {}):
        reason = wanted.trial.user_attrs.get("reason") or "it was not solved"
        raise KasError(f"kernel {wanted.kernel.hash} has no sizes in study {wanted.study.study_name}: {reason}")
    return sizes


def _target(wanted: Wanted) -> Target:
    """The replaced layer of that name in the deployed network, or the first."""
    from kas.solvers import Target

    stored = wanted.study.user_attrs.get("kas.targets")
    stored = json.loads(stored) if isinstance(stored, str) else stored
    targets = [Target.from_dict(entry) for entry in (stored or {}).get("deployed", [])]
    if not targets:
        raise KasError(f"study {wanted.study.study_name} has no targets yet; run it first")
    if wanted.layer is None:
        return targets[0]
    names = [target.name for target in targets]
    if wanted.layer not in names:
        near = nearest(wanted.layer, names)
        hint = f"did you mean {near}? " if near else ""
        raise KasError(f"--target {wanted.layer}: {hint}the layers are {', '.join(names)}")
    return targets[names.index(wanted.layer)]


def _words(target: Target) -> str:
    return f"{target.name}: {target.channels} channels, {'x'.join(map(str, target.size)) or 'no'} positions"


NETWORK_FORMATS = {"onnx": ".onnx", "exported-program": ".pt2"}  # of a network too; with their suffixes
FORMATS: dict[str, Callable[[Wanted, Path], str]] = {
    "py": _to_py,
    "onnx": _to_module("onnx"),
    "exported-program": _to_module("exported-program"),
    "svg": _to_drawing,
    "png": _to_drawing,
    "dot": _to_dot,
    "json": _to_json,
}
