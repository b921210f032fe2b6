"""Finding the layers worth replacing, and saying why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from kas.language.errors import KasError
from kas.replacement.example import ExampleInput, describe_input, first_tensor
from kas.replacement.filters import Choice, Context, reason_against, reasons
from kas.replacement.layers import REPLACEABLE, describe, rank_of
from kas.replacement.observe import Call, observe
from kas.replacement.placeholder import Placeholder
from kas.replacement.running import materialised
from kas.solvers.targets import Target

__all__ = ["Survey", "find_targets", "survey"]

_LOOKED_AT = (*REPLACEABLE, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Survey:
    """All convolutions and linear layers of a network: `targets` in execution order, and `excluded`: name → reason."""

    targets: list[Target]
    excluded: dict[str, str]


def find_targets(
    model: nn.Module,
    example_input: ExampleInput,
    *,
    names: str | Sequence[str] | None = None,
    types: type[nn.Module] | str | Sequence[type[nn.Module] | str] | None = None,
    rank: int | None = None,
    min_kernel: int = 2,
    depthwise: bool = False,
    stem: bool = False,
) -> list[Target]:
    """The layers of `model` that kernels should replace, in execution order, with their sizes at `example_input`.

    By default: the model's Placeholders if it has any; else every Conv1d and Conv2d with a kernel over 1 that is not
    depthwise (C_in/groups over 1) and not the stem (reads the network's input, or is the first convolution and has as
    many input channels as it). Never: layers that do not run or run more than once, share their weight with another,
    are transposed or 3-D, hold more than their weight and bias, or whose output size does not follow from stride, padding
    and dilation. Lazy layers run once on the example, in a copy.

    example_input: a tensor `[N, C, ...]`, a tuple of positional or a dict of keyword arguments.
    names: glob patterns of qualified module names (`"layer?.*.conv2"`). They override the filters on kernel size,
        depthwise and stem, and reach linear layers.
    types: classes or class names (`"Linear"`); the filters stay in force for the convolutions among them.
    rank: only layers of this rank (2, 1; 0 chooses the linear layers).
    min_kernel, depthwise, stem: the filters themselves.

    The model, its mode, its running statistics and its hooks stay as they are, and so does the example. Raises KasError
    if nothing is found (with each filter and how many layers it excluded), the model cannot be copied (with the attribute
    and how to clear it) or does not run on the example.
    """
    choice = Choice.of(names, types, rank, min_kernel, depthwise, stem)
    found = _survey(model, example_input, choice)
    if not found.targets:
        raise KasError(_nothing_found(model, example_input, choice, found))
    return found.targets


def survey(
    model: nn.Module,
    example_input: ExampleInput,
    *,
    names: str | Sequence[str] | None = None,
    types: type[nn.Module] | str | Sequence[type[nn.Module] | str] | None = None,
    rank: int | None = None,
    min_kernel: int = 2,
    depthwise: bool = False,
    stem: bool = False,
) -> Survey:
    """As `find_targets`, but with the reason against each layer that is no target; an empty result is no error."""
    return _survey(model, example_input, Choice.of(names, types, rank, min_kernel, depthwise, stem))


def _survey(model: nn.Module, example_input: ExampleInput, choice: Choice) -> Survey:
    model = materialised(model, example_input)
    layers: dict[str, nn.Module] = dict(model.named_modules())
    layers = {name: layer for name, layer in layers.items() if isinstance(layer, _LOOKED_AT)}
    calls = observe(model, example_input, _LOOKED_AT)
    context = Context(
        input_shape=tuple(first_tensor(example_input).shape),
        first_convolution=next((name for name in calls if not isinstance(layers[name], nn.Linear)), None),
        has_placeholders=any(isinstance(layer, Placeholder) for layer in layers.values()),
        shared=_shared_weights(model),
    )
    ordered = [*calls, *(name for name in layers if name not in calls)]
    targets, excluded = [], {}
    for name in ordered:
        layer, seen = layers[name], calls.get(name, [])
        reason = reason_against(name, layer, seen, choice, context)
        if reason is None:
            targets.append(describe(name, layer, _size(layer, seen[0])))
        else:
            excluded[name] = reason
    return Survey(targets, excluded)


def _size(layer: nn.Module, call: Call) -> tuple[int, ...]:
    """Spatial output size of a call that passed the filters."""
    return call.outputs[2:] if rank_of(layer) and call.outputs is not None else ()


def _shared_weights(model: nn.Module) -> frozenset[str]:
    """Names of modules whose `weight` is also a parameter of another module."""
    counts = Counter(id(parameter) for module in model.modules() for parameter in module._parameters.values())
    weights = {name: module._parameters.get("weight") for name, module in model.named_modules()}
    return frozenset(name for name, weight in weights.items() if weight is not None and counts[id(weight)] > 1)


def _nothing_found(model: nn.Module, example_input: ExampleInput, choice: Choice, found: Survey) -> str:
    """The message of an empty result: every filter, how many layers it excluded, and what to do."""
    counts = Counter(found.excluded.values())
    excluding = "; ".join(f"{reason}: {counts[reason]}" for reason in reasons(choice) if counts[reason])
    others = "; ".join(reason for reason in reasons(choice) if not counts[reason])
    text = (
        f"find_targets: no layer to replace in {type(model).__name__} (input {describe_input(example_input)}), which has "
        f"{len(found.excluded)} convolutions and linear layers. Excluded: {excluding or 'none'} (0 each: {others})."
    )
    return text + _advice(found.excluded, choice)


def _advice(excluded: dict[str, str], choice: Choice) -> str:
    """How to choose by name, with a name that would be accepted."""
    if not excluded:
        return " Only Conv1d, Conv2d, Linear and kas.Placeholder layers can be replaced."
    overridable = [name for name, reason in excluded.items() if reason in choice.overridable]
    name = (overridable or list(excluded))[len(overridable or list(excluded)) // 2]
    similar = [other for other in excluded if fnmatchcase(other, name.rsplit(".", 1)[0] + ".*")]
    patterns = f"names=[{name!r}]" + (f" or names=['{name.rsplit('.', 1)[0]}.*']" if len(similar) > 1 else "")
    return f" Choose layers by name, for example {patterns}: names override the kernel size, depthwise and stem filters."
