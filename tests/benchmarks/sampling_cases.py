"""Targets for the benchmarks of sampling, without torch: what a network would give, written down."""

from __future__ import annotations

from dataclasses import dataclass

from kas.solvers import Target

__all__ = ["CASES", "FOUR", "RESNET18", "Case", "budget"]


@dataclass(frozen=True)
class Case:
    """Targets of one rank, and in words what they are."""

    name: str
    rank: int
    targets: tuple[Target, ...]
    about: str


def _resnet18() -> tuple[Target, ...]:
    """The 3x3 convolutions of torchvision's resnet18 at 224, as `kas.find_targets` lists them (the stem is none)."""
    targets, channels = [], 64
    for stage, (width, size) in enumerate(((64, 56), (128, 28), (256, 14), (512, 7)), 1):
        for number in range(4):
            name = f"layer{stage}.{number // 2}.conv{number % 2 + 1}"
            stride = 2 if stage > 1 and number == 0 else 1
            targets.append(Target(name, channels, width, (size, size), stride=stride))
            channels = width
    return tuple(targets)


FOUR = tuple(Target(f"t{c}", c, c, (size, size)) for c, size in ((64, 32), (128, 16), (256, 8), (512, 4)))
RESNET18 = _resnet18()
_AUDIO = tuple(
    Target(f"stage{i}.{j}", c if j else max(c // 2, 64), c, (size,), stride=1 if j else 2, kernel_size=(3,))
    for i, (c, size) in enumerate(((64, 1024), (128, 256), (256, 64), (512, 16)))
    for j in range(2)
)
_MLP = (
    Target("mlp.0", 256, 256, ()),
    Target("mlp.1", 512, 512, ()),
    Target("mlp.up", 256, 1024, ()),
    Target("mlp.down", 1024, 256, ()),
)

CASES = {
    case.name: case
    for case in (
        Case("four", 2, FOUR, "3x3 convolutions, (channels, size) (64, 32) (128, 16) (256, 8) (512, 4)"),
        Case("resnet18", 2, RESNET18, "the 16 3x3 convolutions of resnet18 at 224"),
        Case("audio", 1, _AUDIO, "eight convolutions over 3 of a network for sound, 64 to 512 channels, 1024 to 16 positions"),
        Case("mlp", 0, _MLP, "four linear layers, 256 to 1024 wide"),
    )
}


def budget(ratio: float) -> dict[str, float]:
    """So much of the MACs and of the parameters of what is replaced."""
    return {"macs": ratio, "params": ratio}
