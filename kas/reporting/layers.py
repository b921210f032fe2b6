"""What a kernel is and costs at each layer that it replaces: layers that are alike with the same sizes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kas.language.costs import cost
from kas.language.kernel import Kernel
from kas.reporting.naming import names_text
from kas.solvers import Target

__all__ = ["Layers", "alike"]


@dataclass(frozen=True)
class Layers:
    """Layers that are alike and get the same sizes. `macs` and `params`: of one of them with the kernel, adapter included."""

    targets: tuple[Target, ...]
    values: Mapping[str, int]
    macs: int
    params: int

    @property
    def first(self) -> Target:
        return self.targets[0]

    @property
    def names(self) -> str:
        """The names of the layers in one text."""
        return names_text([target.name for target in self.targets])

    @property
    def sizes(self) -> str:
        """The free variables: `x0=16 x1=4`; empty if there are none."""
        return " ".join(f"{name}={value}" for name, value in self.values.items())


def alike(kernel: Kernel, targets: Sequence[Target], groups: int, values: Mapping[str, Mapping[str, int]]) -> list[Layers]:
    """The layers in the order in which they run, those that are alike with the same sizes together.

    groups, values: the kernel's sizes, as `kas.solve` gives them.

    >>> import kas
    >>> kernel, layers = kas.zoo.get("bottleneck"), [Target(f"layer{i}", 64, 64, (8, 8)) for i in range(2)]
    >>> sizes = kas.solve(kernel, layers, {"macs": 0.5})
    >>> [(one.names, one.sizes) for one in alike(kernel, layers, sizes.groups, sizes.values)]
    [('layer0', 'x0=17'), ('layer1', 'x0=53')]
    """
    kinds: dict[str, list[Target]] = {}
    for target in targets:
        fields = {key: value for key, value in target.to_dict().items() if key != "name"}
        kinds.setdefault(repr((fields, values[target.name])), []).append(target)
    found = []
    for members in kinds.values():
        target, own = members[0], values[members[0].name]
        one, adapter = cost(kernel, target.channels, target.size, groups, own), target.adapter
        macs = adapter.templates * one.macs + adapter.macs
        found.append(Layers(tuple(members), own, macs, adapter.templates * one.params + adapter.params))
    return found
