"""The small residual network of the CIFAR papers (He et al., 2016, section 4.2), of any width and depth."""

from __future__ import annotations

from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["BasicBlock", "SmallResNet", "small_resnet"]


class BasicBlock(nn.Module):
    """[N, in, H, W] → [N, out, H/stride, W/stride]: two 3x3 convolutions with BN beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(inputs)))
        return self.relu(self.bn2(self.conv2(hidden)) + self.shortcut(inputs))  # type: ignore[no-any-return]


class SmallResNet(nn.Module):
    """[N, C, H, W] → logits [N, classes]: a 3x3 stem, stages that halve the size and double the width, mean, linear."""

    def __init__(self, num_classes: int, in_channels: int, width: int, blocks: list[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages, channels = [], width
        for index, count in enumerate(blocks):
            outputs, stride = width * 2**index, 1 if index == 0 else 2
            first = BasicBlock(channels, outputs, stride)
            stages.append(nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(count - 1))))
            channels = outputs
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(inputs)).mean((2, 3)))  # type: ignore[no-any-return]


def small_resnet(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: int = 16,
    blocks: int | list[int] = 1,
    stages: int | None = None,
) -> SmallResNet:
    """`stages` stages (3 by default) of `blocks` blocks (or one number for each stage), `width` channels in the first."""
    if len(input_shape) != 3:
        raise KasError(f"model small_resnet needs images (C, H, W), but the data has samples of shape {input_shape}")
    counts = list(blocks) if isinstance(blocks, (list, tuple)) else [blocks] * (3 if stages is None else stages)
    if width < 1 or not counts or min(counts) < 1 or (stages is not None and len(counts) != stages):
        raise KasError(
            f"model small_resnet: width {width}, blocks {blocks}, stages {stages}; all must be at least 1, "
            f"and a list of blocks has one number for each stage"
        )
    return SmallResNet(num_classes, input_shape[0], width, counts)
