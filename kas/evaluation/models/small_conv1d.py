"""A small residual network for sequences: audio, time series, anything sampled along one axis."""

from __future__ import annotations

from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["Block1d", "SmallConv1d", "small_conv1d"]


class Block1d(nn.Module):
    """[N, in, L] → [N, out, L/stride]: two convolutions with BN beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, kernel_size: int) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv1 = nn.Conv1d(inputs, outputs, kernel_size, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm1d(outputs)
        self.conv2 = nn.Conv1d(outputs, outputs, kernel_size, 1, padding, bias=False)
        self.bn2 = nn.BatchNorm1d(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv1d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm1d(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(inputs)))
        return self.relu(self.bn2(self.conv2(hidden)) + self.shortcut(inputs))  # type: ignore[no-any-return]


class SmallConv1d(nn.Module):
    """[N, C, L] → logits [N, classes]."""

    def __init__(self, num_classes: int, in_channels: int, width: int, blocks: int, stages: int, kernel: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(in_channels, width, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        )
        parts, channels = [], width
        for stage in range(stages):
            outputs = width * 2**stage
            first = Block1d(channels, outputs, 1 if stage == 0 else 2, kernel)
            parts.append(nn.Sequential(first, *(Block1d(outputs, outputs, 1, kernel) for _ in range(blocks - 1))))
            channels = outputs
        self.stages = nn.Sequential(*parts)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(inputs)).mean(2))  # type: ignore[no-any-return]


def small_conv1d(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: int = 32,
    blocks: int = 1,
    stages: int = 3,
    kernel_size: int = 5,
) -> SmallConv1d:
    """`stages` stages of `blocks` blocks; the first has `width` channels, each next one twice as many at half the length."""
    if len(input_shape) != 2:
        raise KasError(f"model small_conv1d needs sequences (C, L), but the data has samples of shape {input_shape}")
    if min(width, blocks, stages, kernel_size) < 1 or kernel_size % 2 == 0:
        raise KasError(
            f"model small_conv1d: width {width}, blocks {blocks}, stages {stages}, kernel_size {kernel_size}; "
            f"all must be at least 1, and kernel_size odd"
        )
    return SmallConv1d(num_classes, input_shape[0], width, blocks, stages, kernel_size)
