"""A small ConvNeXt (Liu et al., 2022): depthwise convolution, layer norm of the channels, MLP, beside a shortcut."""

from __future__ import annotations

from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["ConvNeXtBlock", "SmallConvNeXt", "small_convnext"]


class ConvNeXtBlock(nn.Module):
    """[N, C, H, W] → the same."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand, self.gelu, self.reduce = nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.depthwise(inputs).permute(0, 2, 3, 1))
        hidden = self.reduce(self.gelu(self.expand(hidden)))
        return inputs + hidden.permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class SmallConvNeXt(nn.Module):
    """[N, C, H, W] → logits [N, classes]: 2x2 patches, stages that halve the size and double the width, mean, linear."""

    def __init__(self, num_classes: int, in_channels: int, width: int, blocks: int, stages: int, kernel_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for index in range(stages):
            outputs = width * 2**index
            layers.append(nn.Conv2d(channels, outputs, 2, stride=2))
            layers += [ConvNeXtBlock(outputs, kernel_size) for _ in range(blocks)]
            channels = outputs
        self.stages = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(inputs).mean((2, 3))))  # type: ignore[no-any-return]


def small_convnext(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    width: int = 32,
    blocks: int = 2,
    stages: int = 2,
    kernel_size: int = 7,
) -> SmallConvNeXt:
    """`stages` stages of `blocks` blocks, `width` channels in the first; each stage halves the size, so does the input."""
    if len(input_shape) != 3:
        raise KasError(f"model small_convnext needs images (C, H, W), but the data has samples of shape {input_shape}")
    if min(width, blocks, stages) < 1 or kernel_size % 2 == 0 or min(input_shape[1:]) < 2**stages:
        raise KasError(
            f"model small_convnext: width {width}, blocks {blocks}, stages {stages}, kernel_size {kernel_size}; the first "
            f"three must be at least 1, kernel_size odd, and the images (here {input_shape[1:]}) at least {2**stages} wide"
        )
    return SmallConvNeXt(num_classes, input_shape[0], width, blocks, stages, kernel_size)
