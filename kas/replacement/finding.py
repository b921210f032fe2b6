"""Finding the layers and blocks worth replacing, and saying why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

from torch import nn

from kas.language.errors import KasError
from kas.replacement.blocks import describe_block
from kas.replacement.example import ExampleInput, describe_input, first_tensor
from kas.replacement.filters import INSIDE, Choice, Context, check_types, reason_against, reasons
from kas.replacement.layers import LAYERS, describe, rank_of
from kas.replacement.observe import Call, observe
from kas.replacement.placeholder import Placeholder
from kas.replacement.running import materialised
from kas.solvers.targets import Preference, Target

__all__ = ["Norm", "Survey", "find_targets", "survey"]

Norm = Literal["auto", "batch", "layer", "none"]


@dataclass(frozen=True)
class Survey:
    """All convolutions and linear layers of a network, and its chosen blocks: `targets` in execution order, and
    `excluded`: name → reason."""

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
    adapter: Preference = "copies",
    norm: Norm = "auto",
) -> list[Target]:
    """The layers or blocks of `model` that kernels should replace, in execution order, with their sizes at `example_input`.

    By default: the model's Placeholders if it has any; else every Conv1d and Conv2d with a kernel over 1 that is not
    depthwise (C_in/groups over 1) and not the stem (reads the network's input, or is the first convolution and has as
    many input channels as it). Never: layers that do not run or run more than once, share their weight with another,
    are transposed or 3-D, hold more than their weight and bias, or whose output size does not follow from stride, padding
    and dilation. Lazy layers run once on the example, in a copy.

    Blocks, by name or type alone: any other module that is called once with one tensor `[N, C_in, *size]`, or a list of
    tensors that it concatenates, and returns one `[N, C_out, *size over a stride]`, at any rank; or tokens, with the
    channels last (`[N, L, C]` is rank 1), as a transformer's MLP, its layers, and its attention (torch's own, of a tensor
    with itself). Where a block that can be replaced contains other modules that match, the outermost wins.

    example_input: a tensor `[N, C, ...]`, a tuple of positional or a dict of keyword arguments.
    names: glob patterns of qualified module names (`"layer?.*.conv2"`, `"layer?.?"` for blocks). They override the
        filters on kernel size, depthwise and stem, and reach linear layers.
    types: classes or class names (`"Linear"`, `"BasicBlock"`); the filters stay in force for the convolutions among them.
    rank: only layers of this rank (2, 1; 0 chooses the linear layers).
    min_kernel, depthwise, stem: the filters themselves.
    adapter: what stands around a template where channels differ by a whole factor, `copies` (or splits) or `projection`.
    norm: what stands behind a template in a block's place: `batch`, `layer`, `none`, or `auto`: the kind in the block.

    The model, its mode, its running statistics and its hooks stay as they are, and so does the example. Raises KasError
    if nothing is found (with each filter and how many layers it excluded), no module is of a type, the model cannot be
    copied (with the attribute and how to clear it) or does not run on the example.

    >>> import torch, torchvision
    >>> resnet = torchvision.models.resnet18()
    >>> [target.name for target in find_targets(resnet, torch.zeros(1, 3, 64, 64), types="BasicBlock")][:3]
    ['layer1.0', 'layer1.1', 'layer2.0']
    """
    choice = Choice.of(names, types, rank, min_kernel, depthwise, stem)
    found = _survey(model, example_input, choice, adapter, norm)
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
    adapter: Preference = "copies",
    norm: Norm = "auto",
) -> Survey:
    """As `find_targets`, but with the reason against each layer that is no target; an empty result is no error."""
    return _survey(model, example_input, Choice.of(names, types, rank, min_kernel, depthwise, stem), adapter, norm)


def _survey(model: nn.Module, example_input: ExampleInput, choice: Choice, adapter: Preference, norm: Norm) -> Survey:
    for argument, given, choices in (("adapter", adapter, Preference), ("norm", norm, Norm)):
        if given not in get_args(choices):
            raise KasError(f"find_targets: {argument}={given!r}; expected one of {', '.join(get_args(choices))}")
    check_types(model, choice)
    model = materialised(model, example_input)
    modules = dict(model.named_modules())
    layers = {name: module for name, module in modules.items() if isinstance(module, LAYERS)}
    blocks = {name: module for name, module in modules.items() if choice.is_block(name, module)}
    looked_at = {**layers, **blocks}
    calls = observe(model, example_input, lambda name, module: name in looked_at, count=bool(blocks))
    convolutions = (name for name in calls if name in layers and not isinstance(layers[name], nn.Linear))
    context = Context(
        input_shape=tuple(first_tensor(example_input).shape),
        first_convolution=next(convolutions, None),
        has_placeholders=any(isinstance(layer, Placeholder) for layer in layers.values()),
        shared=_shared_weights(model),
    )
    reasons_against: dict[str, str | None] = {}
    for name in modules:  # a module comes before those in it
        if name in looked_at:
            reason = reason_against(name, modules[name], calls.get(name, []), choice, context)
            inside = any(reasons_against.get(outer, "") is None and outer in blocks for outer in _outer(name))
            reasons_against[name] = INSIDE if inside and reason is None else reason
    targets, excluded = [], {}
    for name in [*calls, *(name for name in looked_at if name not in calls)]:
        reason, module = reasons_against[name], modules[name]
        if reason is not None:
            excluded[name] = reason
        elif name in blocks:
            targets.append(describe_block(name, module, calls[name][0], None if norm == "auto" else norm))
        else:
            targets.append(describe(name, module, _size(module, calls[name][0])))
    return Survey([replace(target, prefer=adapter) for target in targets], excluded)


def _outer(name: str) -> list[str]:
    """The names of the modules that a module is in."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _size(layer: nn.Module, call: Call) -> tuple[int, ...]:
    """Spatial output size of a call that passed the filters."""
    return call.outputs[2:] if rank_of(layer) and call.outputs is not None else ()


def _shared_weights(model: nn.Module) -> frozenset[str]:
    """Names of modules that have a parameter, their own or of a module in them, that a module outside them has, too."""
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                holders.setdefault(id(parameter), []).append(name)
    shared = [names for names in holders.values() if len(names) > 1]
    candidates = {outer for names in shared for name in names for outer in (*_outer(name), name)}
    return frozenset(candidate for candidate in candidates for names in shared if 0 < _members(candidate, names) < len(names))


def _members(name: str, names: Sequence[str]) -> int:
    """How many of some modules are a module or in it."""
    return sum(other == name or other.startswith(f"{name}.") for other in names)


def _nothing_found(model: nn.Module, example_input: ExampleInput, choice: Choice, found: Survey) -> str:
    """The message of an empty result: every filter, how many layers it excluded, and what to do."""
    counts = Counter(found.excluded.values())
    modules = dict(model.named_modules())
    layers = sum(isinstance(modules[name], LAYERS) for name in found.excluded)
    blocks = f" and {len(found.excluded) - layers} blocks of that choice" if layers < len(found.excluded) else ""
    excluding = "; ".join(f"{reason}: {counts[reason]}" for reason in reasons(choice) if counts[reason])
    others = "; ".join(reason for reason in reasons(choice) if not counts[reason])
    text = (
        f"find_targets: no layer to replace in {type(model).__name__} (input {describe_input(example_input)}), which has "
        f"{layers} convolutions and linear layers{blocks}. Excluded: {excluding or 'none'} (0 each: {others})."
    )
    return text + _advice(found.excluded, choice)


def _advice(excluded: dict[str, str], choice: Choice) -> str:
    """How to choose by name, with a name that would be accepted."""
    if not excluded:
        return " Conv1d, Conv2d, Linear and kas.Placeholder layers can be replaced, and by name or type whole blocks."
    overridable = [name for name, reason in excluded.items() if reason in choice.overridable]
    name = (overridable or list(excluded))[len(overridable or list(excluded)) // 2]
    similar = [other for other in excluded if fnmatchcase(other, name.rsplit(".", 1)[0] + ".*")]
    patterns = f"names=[{name!r}]" + (f" or names=['{name.rsplit('.', 1)[0]}.*']" if len(similar) > 1 else "")
    return f" Choose layers by name, for example {patterns}: names override the kernel size, depthwise and stem filters."
