"""How a network is built again: the original by its name, the kernel at its targets, then the weights. All of it is data."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kas.evaluation.checkpoints import torch_bytes
from kas.evaluation.inputs import Shape, random_inputs
from kas.evaluation.models import make_model
from kas.evaluation.settings import ModelSettings
from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.replacement import replace
from kas.solvers import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Recipe", "rebuild", "write_state"]


@dataclass(frozen=True)
class Recipe:
    """The original network, and the kernel in it.

    name, factory, args: as in a study's `model`, with the overrides of this network. A factory is a text for people: no
        file makes kas import it.
    num_classes, input_shape: what the network was made for; the shape is that of one sample (several: of each input).
    program: of the kernel, as canonical JSON; None for the original network as it is.
    groups, values, targets: the kernel's sizes, and the layers (or blocks) that it replaces, as `Target.to_dict` gives them.
    """

    name: str
    factory: str | None
    args: dict[str, Any]
    num_classes: int | None
    input_shape: Shape
    program: str | None = None
    groups: int = 1
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        settings: ModelSettings,
        overrides: Mapping[str, Any],
        num_classes: int | None,
        input_shape: Shape,
        targets: Sequence[Target] = (),
        kernel: Kernel | None = None,
        groups: int = 1,
        values: Mapping[str, Mapping[str, int]] | None = None,
    ) -> Recipe:
        """That of a network made from a study's settings; without a kernel, of the original."""
        return cls(
            settings.name,
            settings.factory,
            {**settings.args, **overrides},
            num_classes,
            input_shape,
            None if kernel is None else kernel.to_json(),
            groups,
            {name: dict(sizes) for name, sizes in (values or {}).items()},
            [] if kernel is None else [target.to_dict() for target in targets],
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; `from_dict` gives an equal recipe."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """What `to_dict` wrote. Raises TypeError for anything else."""
        return cls(**{**data, "input_shape": _tuples(data["input_shape"])})

    def original(self) -> nn.Module:
        """The original network with fresh weights. Raises KasError if kas does not know it by name."""
        settings = ModelSettings(name=self.name)
        args = {key: value for key, value in self.args.items() if key != "weights"}  # all weights come from the file
        return make_model(settings, self.num_classes, self.input_shape, args)

    def build(self, original: nn.Module) -> nn.Module:
        """A copy of the original with the kernel in it; the new weights are fresh."""
        if self.program is None:
            return copy.deepcopy(original)
        sizes = SimpleNamespace(groups=self.groups, values=self.values)
        targets = [Target.from_dict(target) for target in self.targets]
        example = random_inputs(self.input_shape, 2)
        return replace(original, Kernel.from_json(self.program), example, targets=targets, sizes=sizes, check=False)


def _tuples(shape: Any) -> Shape:
    if isinstance(shape, dict):
        return {str(name): _tuples(one) for name, one in shape.items()}
    return tuple(_tuples(one) for one in shape) if isinstance(shape, (list, tuple)) else int(shape)


def write_state(path: Path, network: nn.Module, recipe: Recipe, metadata: Mapping[str, Any]) -> None:
    """Write a network as data: its metadata, recipe and state dict; `torch.load(path, weights_only=True)` reads it.

    metadata: JSON types, `format` among them.
    """
    state = {key: value.detach().cpu() for key, value in network.state_dict().items()}
    data = {"format": metadata["format"], "metadata": dict(metadata), "recipe": recipe.to_dict(), "state_dict": state}
    path.write_bytes(torch_bytes(data))


def rebuild(path: Path, recipe: Recipe, state: Mapping[str, Tensor], model: nn.Module | None) -> nn.Module:
    """The network of a recipe with the weights of a file; `model`: its original, where kas does not know it by name.

    Raises KasError if the original is needed and not given, or nothing here fits the file.
    """
    if model is None and recipe.factory is not None:
        raise KasError(
            f"{path}: this network was made by {recipe.factory}, and nothing that a file names is imported: give its original, "
            f"kas.load(path, model=network)"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            network = recipe.build(recipe.original() if model is None else model)
        network.load_state_dict(state)
    except (KasError, RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        which = "the network that kas makes of its recipe" if model is None else f"the given {type(model).__name__}"
        reason = str(error).strip().replace("\n\t", " ")
        raise KasError(f"{path}: does not fit {which}: {reason[:300]}") from error
    return network
