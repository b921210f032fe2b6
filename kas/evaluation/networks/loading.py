"""`kas.load`: a network that kas wrote, as a module for inference."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kas.evaluation.checkpoints import read_checkpoint
from kas.evaluation.networks.archive import read_archive
from kas.evaluation.networks.metadata import FORMAT, checked, from_onnx
from kas.evaluation.networks.recipe import Recipe, rebuild
from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.lowering.export import OnnxSession

__all__ = ["LoadedNetwork", "load"]

CHECKPOINT_FORMAT = "kas.checkpoint/1"  # the weights of the front's networks, `kernels/HASH.ckpt`


class LoadedNetwork(nn.Module):
    """A network that was written for inference, `[N, ...] -> [N, ...]`; it has no other mode than evaluation.

    Attributes:
        kas_metadata: what the file says of the network, as JSON types.
    """

    def __init__(self, path: Path, run: Callable[[Tensor], Tensor], metadata: dict[str, Any]) -> None:
        super().__init__()
        self.path, self.kas_metadata, self.training = path, metadata, False
        self.run = run  # a submodule, where it is a module

    def forward(self, inputs: Tensor) -> Tensor:
        return self.run(inputs)

    def train(self, mode: bool = True) -> LoadedNetwork:
        """Raises KasError if `mode`: what is trained on is exported as a state dict."""
        if mode:
            raise KasError(f"{self.path}: a file for inference alone; `export --to state-dict` writes one that can be trained")
        return self


def load(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """Read a network that kas wrote: a module on the CPU, in evaluation mode, `[N, *input_shape] -> [N, classes]`.

    path: a file of `export --network` (`.onnx`, run in onnxruntime; `.pt2`, an exported program; `.pt`, a state dict that
        becomes the same kind of network as was trained), or the weights of a kernel of the front, `kernels/HASH.ckpt`.
    model: the original network of a `.pt` or `.ckpt`, if it is your own: a file never makes kas import anything.

    The attribute `kas_metadata` has what the file says: kernel, preprocessing (mean, std, size, classes), accuracy. Raises
    KasError, with the path, for a file that is damaged or that kas did not write.

    >>> kas.load("digits.network.pt")  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise KasError(f"{path}: a network that kas wrote ends in {', '.join(_READERS)}")
    if not path.is_file():
        raise KasError(f"{path}: no such file")
    if model is not None and _READERS[path.suffix] is not _from_state:
        raise KasError(f"{path}: this file has its network in it; model= goes with .pt and .ckpt")
    return _READERS[path.suffix](path, model)


def _from_onnx(path: Path, _: nn.Module | None) -> nn.Module:
    if find_spec("onnxruntime") is None:
        raise KasError(f"{path}: onnxruntime runs this file, and is not installed here: pip install onnxruntime")
    try:
        session = OnnxSession(path)
        metadata = from_onnx(session.metadata)
    except Exception as error:  # onnxruntime raises whatever the damaged bytes lead to
        raise KasError(f"{path}: cannot be read as ONNX: {str(error).splitlines()[0][:300]}") from error
    metadata = checked(metadata, path)

    def run(inputs: Tensor) -> Tensor:
        try:
            return session(inputs.detach().cpu())
        except Exception as error:  # onnxruntime's own
            given = f"{list(inputs.shape)} {str(inputs.dtype).removeprefix('torch.')}"
            raise KasError(f"{path}: takes {session.takes}, not {given}: {str(error).splitlines()[0][:200]}") from error

    return LoadedNetwork(path, run, metadata)


def _from_program(path: Path, _: nn.Module | None) -> nn.Module:
    metadata = checked(read_archive(path), path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own deprecated names
            warnings.simplefilter("ignore", DeprecationWarning)
            program = torch.export.load(path).module()
    except Exception as error:  # of many kinds, for damaged bytes
        raise KasError(f"{path}: cannot be read as an exported program: {str(error).splitlines()[0][:300]}") from error
    return LoadedNetwork(path, program, metadata)


def _from_state(path: Path, model: nn.Module | None) -> nn.Module:
    data: Any = read_checkpoint(path)
    form = data.get("format") if isinstance(data, dict) else None
    if form not in (FORMAT, CHECKPOINT_FORMAT):
        raise KasError(
            f"{path}: is no network that kas wrote: its format is {form!r}, not {FORMAT}; the checkpoints of a training are "
            f"exported with `export --network`"
        )
    try:
        kept, state = data.get("recipe"), data["state_dict"]
        if kept is None:
            raise KasError(f"{path}: an earlier kas wrote this file, without its network: `export --network` writes it anew")
        recipe = Recipe.from_dict(kept)
        metadata = data["metadata"] if form == FORMAT else _of_checkpoint(recipe, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KasError(f"{path}: is damaged: {error!r}") from error
    network = rebuild(path, recipe, state, model).eval()
    network.kas_metadata = checked(metadata, path)  # type: ignore[assignment]
    return network


def _of_checkpoint(recipe: Recipe, data: dict[str, Any]) -> dict[str, Any]:
    """The metadata of the weights of a kernel of the front."""
    kernel = Kernel.from_json(str(recipe.program))
    return {"format": FORMAT, "kernel": kernel.hash, "weights": "search", "accuracy": {"validation": data["accuracy"]}}


_READERS: dict[str, Callable[[Path, nn.Module | None], nn.Module]] = {
    ".onnx": _from_onnx,
    ".pt2": _from_program,
    ".pt": _from_state,
    ".ckpt": _from_state,
}
