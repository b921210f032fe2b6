"""Targets in plain words: what is replaced, by what adapter, with what norm behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kas.solvers.targets import Target

__all__ = ["describe_target", "describe_targets"]

_NORMS = {"batch": "BatchNorm", "layer": "LayerNorm of the channels"}
_ADAPTERS = {"same": "none"}


def describe_target(target: Target) -> str:
    """`BasicBlock, 64 → 128 channels, 16x16, stride 2; a 1x1 projection, BatchNorm behind`.

    >>> describe_target(Target("layer2.0.conv1", 64, 128, (16, 16), stride=2))
    'layer, 64 → 128 channels, 16x16, stride 2; 2 copies'
    """
    size = "x".join(map(str, target.size))
    stride = "" if target.stride == 1 else f"stride {'x'.join(map(str, dict.fromkeys(target.strides)))}"
    channels = f"{target.in_channels} → {target.out_channels} channels"
    words = [target.block or "layer", channels, size, stride, "tokens" if target.tokens else ""]
    adapter, count = target.adapter.kind, target.adapter.templates
    around = {"same": "", "projection": "a 1x1 projection"}.get(adapter, f"{count} {adapter}")
    behind = f"{_NORMS[target.norm]} behind" if target.norm in _NORMS else ""
    return "; ".join(part for part in (_joined(words), _joined([around, behind])) if part)


def describe_targets(targets: Sequence[Target]) -> str:
    """`replaces 8 blocks (BasicBlock); adapters: 5 none, 3 projection; BatchNorm behind each`.

    >>> describe_targets([Target("a", 64, 64, (8, 8)), Target("b", 64, 128, (8, 8))])
    'replaces 2 layers; adapters: 1 none, 1 copies'
    """
    blocks = [target for target in targets if target.block]
    layers = len(targets) - len(blocks)
    what = [f"{len(blocks)} block{_s(len(blocks))} ({', '.join(dict.fromkeys(t.block for t in blocks))})"] if blocks else []
    what += [f"{layers} layer{_s(layers)}"] if layers else []
    kinds = _counts(_ADAPTERS.get(target.adapter.kind, target.adapter.kind) for target in targets)
    parts = [f"replaces {' and '.join(what)}", f"adapters: {kinds}"]
    norms = Counter(target.norm for target in targets if target.norm in _NORMS)
    for norm, count in norms.items():
        each = "each" if count == len(targets) else f"{count} of them"
        parts.append(f"{_NORMS[norm]} behind {each}")
    return "; ".join(parts)


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).items())


def _joined(words: Iterable[str]) -> str:
    return ", ".join(word for word in words if word)


def _s(count: int) -> str:
    return "" if count == 1 else "s"
