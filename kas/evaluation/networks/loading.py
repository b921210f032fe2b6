"""`kas.load`: a network that kas wrote, as a module for inference."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kas.evaluation.networks.archive import read_archive
from kas.evaluation.networks.metadata import FORMAT, checked, from_onnx
from kas.evaluation.networks.recipe import Recipe, rebuild
from kas.language.errors import KasError
from kas.lowering.export import OnnxSession, reason

__all__ = ["LoadedNetwork", "load"]

CHECKPOINT_FORMAT = "kas.checkpoint/1"  # the weights of the front's networks, `kernels/HASH.ckpt`


class LoadedNetwork(nn.Module):
    """A network that was written for inference, `[N, ...] -> [N, ...]`; it has no other mode than evaluation.

    Of several inputs it takes one after the other, or each by its name.

    Attributes:
        kas_metadata: what the file says of the network, as JSON types.
    """

    def __init__(self, path: Path, run: Callable[..., Tensor], metadata: dict[str, Any]) -> None:
        super().__init__()
        self.path, self.kas_metadata, self.training = path, metadata, False
        self.run = run  # a submodule, where it is a module
        try:
            described = metadata["inputs"] if "inputs" in metadata else [metadata["input"]]
            self._takes = {str(one["name"]): (tuple(one["shape"][1:]), str(one["dtype"])) for one in described}
        except (KeyError, TypeError, IndexError) as error:
            raise KasError(f"{path}: is damaged: its metadata does not say what it takes ({error!r})") from error

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Raises KasError for inputs of another number, shape or type than the file was made for; the batch may be any."""
        given = dict(zip(self._takes, inputs, strict=False)) | named
        if len(inputs) + len(named) != len(self._takes) or given.keys() != self._takes.keys():
            raise KasError(f"{self.path}: takes the inputs {', '.join(self._takes)}, not {len(inputs) + len(named)} others")
        for name, (shape, dtype) in self._takes.items():
            own, found = given[name], str(given[name].dtype).removeprefix("torch.")
            if tuple(own.shape[1:]) != shape or found != dtype:
                wanted = ", ".join(map(str, ("N", *shape)))
                raise KasError(f"{self.path}: takes [{wanted}] {dtype}, not {list(own.shape)} {found}")
        return self.run(*(given[name] for name in self._takes))

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

    >>> import kas, tempfile, torch
    >>> from kas.evaluation.networks import FORMAT, Recipe, write_state
    >>> recipe = Recipe("small_resnet", None, {"width": 4}, num_classes=10, input_shape=(1, 16, 16))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "network.pt"
    ...     write_state(path, recipe.original(), recipe, {"format": FORMAT, "kernel": "original"})
    ...     network = kas.load(path)
    >>> network(torch.zeros(3, 1, 16, 16)).shape, network.training, network.kas_metadata["kernel"]
    (torch.Size([3, 10]), False, 'original')
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
        raise KasError(f"{path}: cannot be read as ONNX: {reason(error)}") from error
    metadata = checked(metadata, path)
    return LoadedNetwork(path, lambda *inputs: session(*(one.detach().cpu() for one in inputs)), metadata)


def _from_program(path: Path, _: nn.Module | None) -> nn.Module:
    metadata = checked(read_archive(path), path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own deprecated names
            warnings.simplefilter("ignore", DeprecationWarning)
            program = torch.export.load(path).module()
    except Exception as error:  # of many kinds, for damaged bytes
        raise KasError(f"{path}: cannot be read as an exported program: {reason(error)}") from error
    return LoadedNetwork(path, program, metadata)


def _from_state(path: Path, model: nn.Module | None) -> nn.Module:
    try:
        data: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged bytes lead to
        raise KasError(f"{path}: cannot be read as weights and data alone: {reason(error)}") from error
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
        metadata = data["metadata"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KasError(f"{path}: is damaged: {error!r}") from error
    network = rebuild(path, recipe, state, model).eval()
    network.kas_metadata = checked(metadata, path)  # type: ignore[assignment]
    return network


_READERS: dict[str, Callable[[Path, nn.Module | None], nn.Module]] = {
    ".onnx": _from_onnx,
    ".pt2": _from_program,
    ".pt": _from_state,
    ".ckpt": _from_state,
}
