"""Kernel b946ded6931b9150: a torch module of its own, found by kernel architecture search (kas).

Run this file to check it: `ok`, or what differs from the outputs that are stored here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Kernelb946ded693(nn.Module):
    """`[N, channels, H, W]` to `[N, channels, H, W]`, at every size at which its dims are integers.

        y = x + W₂·(W₁ ∗ x)

    W₁ is the weight of step 1, `w1`, and so on; ∗ is a convolution.

        ○     input              C | H, W
        ├─╮
        │ ●   1  conv → x0 3×3   x0 | H, W
        │ ●   2  fc → C          C | H, W
        ├─╯
        ●     3  add             C | H, W

    Cost of one sample, and at the defaults with 32x32 positions (peak memory 786,432 bytes in float32):
        MACs          10*C*H*W*x0  11,141,120
        parameters    10*C*x0      10,880
        element-wise  C*H*W        65,536

    Args:
        channels: C, of the input and the output.
        width: x0, an inner width.
    """

    def __init__(self, channels: int = 64, width: int = 17) -> None:
        super().__init__()
        self.channels = channels
        self.width = width
        self.w1 = nn.Parameter(torch.empty(width, channels, 3, 3))  # conv → x0 3×3
        self.w2 = nn.Parameter(torch.empty(channels, width))  # fc → C
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights that keep the scale of what passes (fan-in), drawn from torch's generator."""
        nn.init.normal_(self.w1, std=1 / self.w1[0].numel() ** 0.5)
        nn.init.normal_(self.w2, std=1 / self.w2[0].numel() ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if c != self.channels:
            raise ValueError(f"this kernel was built for {self.channels} channels, not {c}")
        filtered = F.conv2d(x, self.w1, padding=1)  # [N, x0 | H, W]
        # [N, C | H, W]
        mixed = torch.baddbmm(x.reshape(n, c, h * w), self.w2.expand(n, -1, -1), filtered.reshape(n, self.width, h * w))
        return mixed.reshape(n, c, h, w)


# What the module gives for the numbers below: `outputs` of the kernel's definition.
EXPECTED = [
    -0.1873079,
    -0.268244643,
    0.396226726,
    -0.643865988,
    0.296391202,
    0.605555424,
    0.600565801,
]


def numbers(shape: tuple[int, ...], seed: int) -> Tensor:
    """Numbers between -1 and 1 that look random and are the same everywhere: a chain of integer remainders."""
    z = torch.arange(1, torch.Size(shape).numel() + 1) * 48271 % 2147483647 + seed
    for _ in range(3):
        z = z * z % 2147483647 + 12345
    return (z.double() / 1073741824 - 1).reshape(shape)


def outputs(module: nn.Module, x: Tensor) -> Tensor:
    """Six of the outputs and the root mean square of all, in double precision, for weights by the same recipe."""
    module = module.double().eval()
    with torch.no_grad():
        for seed, weight in enumerate(module.parameters(), 1):
            weight.copy_(numbers(weight.shape, seed) * max(1, weight[0].numel()) ** -0.5)
        y = module(x).flatten()
    picked = y[torch.arange(6) * (y.numel() - 1) // 5]
    return torch.cat([picked, y.square().mean().sqrt()[None]])


def check() -> None:
    """Raise SystemExit with what differs from EXPECTED, if anything does."""
    found, expected = outputs(Kernelb946ded693(), numbers((2, 64, 6, 10), 0)), torch.tensor(EXPECTED, dtype=torch.double)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= 1e-06:
        raise SystemExit(f"failed: the outputs {found.tolist()} differ from {EXPECTED} by {difference:.2g}")


if __name__ == "__main__":
    check()
    print("ok")
