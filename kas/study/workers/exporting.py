"""A kernel of a study as a file: its program, its drawing, or its module at the sizes of one replaced layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kas import __version__
from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.reporting import stored
from kas.study import attributes as keys
from kas.study.schema import nearest
from kas.study.storage.files import StudyFolder, write_atomically, write_text

if TYPE_CHECKING:
    import optuna
    from torch import Tensor, nn

    from kas.lowering.export import Exported
    from kas.solvers import Target

__all__ = ["FORMATS", "NETWORK_FORMATS", "OF_A_LAYER", "Wanted", "agreement"]


@dataclass(frozen=True)
class Wanted:
    """What is to be exported: a kernel (of a trial of a study, whose files are in `folder`), and for which layer."""

    study: optuna.Study
    trial: optuna.trial.FrozenTrial
    kernel: Kernel
    folder: StudyFolder
    layer: str | None = None


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
        from kas.evaluation.networks import FORMAT
        from kas.lowering.export import export_module

        module, target, weights = _layer(wanted)
        shape = (target.channels, *target.size)
        metadata = {
            "format": FORMAT,
            "version": __version__,
            "study": wanted.study.study_name,
            "kernel": wanted.kernel.hash,
            "weights": weights,
            "layer": target.to_dict(),
            "input": {"name": "input", "shape": ["batch", *shape], "dtype": "float32"},
        }
        found: list[Exported] = []
        write_atomically(out, lambda temporary: found.append(export_module(module, shape, temporary, form, metadata)))
        return f"  (for {_words(target)}; {weights} weights; {agreement(found[0], form)})"

    return write


def agreement(found: Exported, form: str) -> str:
    """How far what was written is from torch, in words."""
    from kas.lowering.export import BATCHES

    runtime = "onnxruntime" if form == "onnx" else "the loaded program"
    batches = ", ".join(map(str, BATCHES[:-1]))
    return f"{runtime} differs from torch by at most {found.difference:.1e} at batches {batches} and {BATCHES[-1]}"


def _layer(wanted: Wanted) -> tuple[nn.Module, Target, str]:
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
    return module, target, "trained" if trained is not None else "initial"


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


def _sizes(wanted: Wanted) -> Mapping[str, Any]:
    """Groups and values of the kernel in the deployed network."""
    sizes: Mapping[str, Any] | None = wanted.trial.user_attrs.get("sizes")
    if sizes is None or _target(wanted).name not in sizes.get("values", {}):
        reason = wanted.trial.user_attrs.get("reason") or "it was not solved"
        raise KasError(f"kernel {wanted.kernel.hash} has no sizes in study {wanted.study.study_name}: {reason}")
    return sizes


def _target(wanted: Wanted) -> Target:
    """The replaced layer of that name in the deployed network, or the one with the most MACs, as at the end of a search."""
    from kas.solvers import Target

    found = stored.attribute(wanted.study, keys.TARGETS) or {}
    targets = [Target.from_dict(entry) for entry in found.get("deployed", [])]
    if not targets:
        raise KasError(f"study {wanted.study.study_name} has no targets yet; run it first")
    if wanted.layer is None:
        return max(targets, key=lambda target: target.macs)
    names = [target.name for target in targets]
    if wanted.layer not in names:
        near = nearest(wanted.layer, names)
        hint = f"did you mean {near}? " if near else ""
        raise KasError(f"--target {wanted.layer}: {hint}the layers are {', '.join(names)}")
    return targets[names.index(wanted.layer)]


def _words(target: Target) -> str:
    return f"{target.name}: {target.channels} channels, {'x'.join(map(str, target.size)) or 'no'} positions"


OF_A_LAYER = {"py": ".py", "onnx": ".onnx", "exported-program": ".pt2"}  # what is written for one layer; with the suffixes
NETWORK_FORMATS = {"onnx": ".onnx", "exported-program": ".pt2", "state-dict": ".pt"}  # of a whole network
FORMATS: dict[str, Callable[[Wanted, Path], str]] = {
    "py": _to_py,
    "onnx": _to_module("onnx"),
    "exported-program": _to_module("exported-program"),
    "svg": _to_drawing,
    "png": _to_drawing,
    "dot": _to_dot,
    "json": _to_json,
}
