"""The filters of `find_targets`: each a reason, as it is counted and reported, and the rule behind it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from kas.language.errors import KasError
from kas.replacement.blocks import BLOCK_REASONS, reason_against_block
from kas.replacement.layers import LAYERS, REPLACEABLE, axes_of, rank_of
from kas.replacement.observe import Call
from kas.replacement.placeholder import Placeholder

__all__ = ["INSIDE", "Choice", "Context", "check_types", "reason_against", "reasons"]


@dataclass(frozen=True)
class Choice:
    """What the caller asked for; the arguments of `find_targets`."""

    names: tuple[str, ...] | None
    types: tuple[type[nn.Module] | str, ...] | None
    rank: int | None
    min_kernel: int
    depthwise: bool
    stem: bool

    @classmethod
    def of(
        cls,
        names: str | Sequence[str] | None,
        types: type[nn.Module] | str | Sequence[type[nn.Module] | str] | None,
        rank: int | None,
        min_kernel: int,
        depthwise: bool,
        stem: bool,
    ) -> Choice:
        """The checked arguments. Raises KasError for empty or ill-typed ones."""
        if isinstance(names, str):
            names = (names,)
        if isinstance(types, (str, type)):
            types = (types,)
        for argument, given in (("names", names), ("types", types)):
            if given is not None and len(given) == 0:
                raise KasError(f"find_targets: {argument} is empty; give at least one, or None for the default layers")
        for name in names or ():
            if not isinstance(name, str):
                raise KasError(f"find_targets: names={names!r}; expected glob patterns of module names")
        for kind in types or ():
            if not isinstance(kind, str) and not (isinstance(kind, type) and issubclass(kind, nn.Module)):
                raise KasError(f"find_targets: types={types!r}; expected module classes or their names")
        if rank not in (None, 0, 1, 2):
            raise KasError(f"find_targets: rank={rank!r}; expected 2 (images), 1 (sequences) or 0 (linear)")
        return cls(
            None if names is None else tuple(names), None if types is None else tuple(types), rank, min_kernel,
            depthwise, stem,
        )  # fmt: skip

    @property
    def overridable(self) -> tuple[str, ...]:
        """The reasons that choosing by name sets aside."""
        return (LINEAR, OWN_FORWARD, self.kernel_reason, DEPTHWISE, STEM)

    @property
    def kernel_reason(self) -> str:
        return f"kernel size under {self.min_kernel}"

    def has_type(self, layer: nn.Module) -> bool:
        """Whether the layer is of one of the chosen types."""
        classes = {base.__name__ for base in type(layer).__mro__}
        return any(k in classes if isinstance(k, str) else isinstance(layer, k) for k in self.types or ())

    def has_name(self, name: str) -> bool:
        """Whether one of the chosen patterns matches."""
        return any(fnmatchcase(name, pattern) for pattern in self.names or ())

    def is_block(self, name: str, module: nn.Module) -> bool:
        """Whether a module is a block that is chosen: blocks are, by name or type alone, but never the whole network."""
        if not name or isinstance(module, LAYERS) or (self.names is None and self.types is None):
            return False
        return (self.names is None or self.has_name(name)) and (self.types is None or self.has_type(module))


@dataclass(frozen=True)
class Context:
    """What a filter needs to know about the network around a layer."""

    input_shape: tuple[int, ...]
    first_convolution: str | None
    has_placeholders: bool
    shared: frozenset[str]


NAME = "name does not match"
TYPE = "other type"
PLACEHOLDER = "beside Placeholders"
UNSUPPORTED = "transposed or 3-D convolution"
RANK = "other rank"
LINEAR = "linear layer (only by name or type)"
UNUSED = "never called"
SIZES = "called more than once, with different sizes"
CALLS = "called more than once"
SHARED = "weight shared with another layer"
TENSORS = "input or output is not one tensor [N, C, ...]"
GEOMETRY = "output size is not that of its stride and padding"
HOLDS_MORE = "holds more than its weight and bias"
OWN_FORWARD = "subclass with a forward of its own (only by name)"
DEPTHWISE = "depthwise (C_in/groups = 1)"
STEM = "stem (reads the network's input)"
INSIDE = "inside a block that is replaced"

_WEIGHTS = frozenset(name + end for name in ("weight", "bias") for end in ("", "_g", "_v", "_u", "_orig", "_mask"))
_Rule = Callable[[str, nn.Module, list[Call], Choice, Context], bool]


def check_types(model: nn.Module, choice: Choice) -> None:
    """Raises KasError if a chosen class name is that of no module of the network, and names the nearest that is."""
    classes = {base.__name__ for module in model.modules() for base in type(module).__mro__}
    for kind in choice.types or ():
        if isinstance(kind, str) and kind not in {*classes, *(layer.__name__ for layer in REPLACEABLE)}:
            own = sorted({type(module).__name__ for module in model.modules()})
            lowered = {name.lower(): name for name in own}
            near = difflib.get_close_matches(kind.lower(), lowered, n=1)
            hint = f"; did you mean {lowered[near[0]]}?" if near else ""
            what = f"no module of {type(model).__name__} is of the type {kind!r}{hint}"
            raise KasError(f"targets.types: {what} (it has {', '.join(own)})")


def reasons(choice: Choice) -> list[str]:
    """The reasons of all filters in force, in the order in which they are tried."""
    blocks = () if choice.names is None and choice.types is None else (*BLOCK_REASONS, INSIDE)
    return [*(reason for reason, _ in _filters(choice)), *blocks]


def reason_against(name: str, module: nn.Module, calls: list[Call], choice: Choice, context: Context) -> str | None:
    """The first reason why a layer or a chosen block is no target; None for a target."""
    block = choice.is_block(name, module)
    for reason, excludes in _CALLED if block else _filters(choice):
        if excludes(name, module, calls, choice, context):
            return reason
    if not block:
        return None
    if choice.rank is not None and len(calls[0].first or ()) - 2 != choice.rank:
        return RANK
    return reason_against_block(module, calls[0], context.input_shape[0])


def _filters(choice: Choice) -> list[tuple[str, _Rule]]:
    """The filters in force: those of the choice, then what can never be replaced, then what is not worth it."""
    table: list[tuple[str, _Rule]] = []
    if choice.names is not None:
        table.append((NAME, lambda name, layer, calls, choice, context: not choice.has_name(name)))
    if choice.types is not None:
        table.append((TYPE, lambda name, layer, calls, choice, context: not choice.has_type(layer)))
    if choice.names is None and choice.types is None:
        table.append((PLACEHOLDER, _beside_placeholders))
    table.append((UNSUPPORTED, lambda name, layer, calls, choice, context: not isinstance(layer, REPLACEABLE)))
    if choice.rank is not None:
        table.append((RANK, lambda name, layer, calls, choice, context: rank_of(layer) != choice.rank))
    if choice.names is None and choice.types is None and choice.rank != 0:
        table.append((LINEAR, lambda name, layer, calls, choice, context: isinstance(layer, nn.Linear)))
    table += [*_CALLED, (TENSORS, _odd_tensors), (GEOMETRY, _odd_geometry), (HOLDS_MORE, _holds_more)]
    if choice.names is None:
        table.append((OWN_FORWARD, _own_forward))
        table.append((choice.kernel_reason, _small_kernel))
        table += [(DEPTHWISE, _depthwise)] if not choice.depthwise else []
        table += [(STEM, _stem)] if not choice.stem else []
    return table


def _beside_placeholders(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    return context.has_placeholders and not isinstance(layer, Placeholder)


def _differing(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    return len({(call.inputs, call.outputs) for call in calls}) > 1


def _repeated(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    # One target has one cost; a layer that runs k times would cost k times what its target says.
    return len(calls) > 1


def _odd_tensors(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    # So a linear layer over sequences, [N, T, F], is none: its work per sample is not in_features x out_features.
    inputs, outputs = calls[0].inputs, calls[0].outputs
    return inputs is None or outputs is None or not len(inputs) == len(outputs) == rank_of(layer) + 2


def _odd_geometry(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    # Subclasses may pad in their own way; an adapter could not follow them.
    inputs, outputs = calls[0].inputs or (), calls[0].outputs or ()
    return any(axis.outputs(n) != m for axis, n, m in zip(axes_of(layer), inputs[2:], outputs[2:], strict=True))


def _holds_more(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    # A scale, statistics, an activation: a kernel in the layer's place would lose them without a word. What torch's own
    # helpers (weight norm, spectral norm, pruning) keep in the place of the weight is the weight.
    tensors = {key for key, _ in (*layer.named_parameters(), *layer.named_buffers()) if not key.startswith("parametrizations.")}
    modules = {key for key, _ in layer.named_children() if key != "parametrizations"}
    return bool(modules or tensors - _WEIGHTS)


def _own_forward(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    base = next(kind for kind in REPLACEABLE if isinstance(layer, kind))
    methods = [method for method in ("forward", "_conv_forward") if hasattr(base, method)]
    return any(method in vars(layer) or getattr(type(layer), method) is not getattr(base, method) for method in methods)


def _small_kernel(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    return isinstance(layer, (nn.Conv1d, nn.Conv2d)) and max(layer.kernel_size) < choice.min_kernel


def _depthwise(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    # A stem for grey images reads its one channel in one group, and is none.
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d)) or layer.in_channels != layer.groups:
        return False
    return layer.groups > 1 or not _stem(name, layer, calls, choice, context)


def _stem(name: str, layer: nn.Module, calls: list[Call], choice: Choice, context: Context) -> bool:
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        return False
    same_channels = layer.in_channels == context.input_shape[1] if len(context.input_shape) > 1 else False
    return calls[0].reads_input or (name == context.first_convolution and same_channels)


_CALLED: list[tuple[str, _Rule]] = [
    (UNUSED, lambda name, layer, calls, choice, context: not calls),
    (SIZES, _differing),
    (CALLS, _repeated),
    (SHARED, lambda name, layer, calls, choice, context: name in context.shared),
]
