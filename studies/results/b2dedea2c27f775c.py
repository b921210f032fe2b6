"""Kernel b2dedea2c27f775c: a torch module of its own, found by kernel architecture search (kas).

Run this file to check it: `ok`, or what differs from the outputs that are stored here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Kernelb2dedea2c2(nn.Module):
    """`[N, channels, H, W]` to `[N, channels, H, W]`, at every size at which its dims are integers.

        y = W₃·(W₂ ∗ (W₁ ∗ x))

    W₁ is the weight of step 1, `w1`, and so on; ∗ is a convolution.

        ○   input                       C | H, W
        ●   1  conv → C 3×3 depthwise   C | H, W
        ●   2  conv → C 3×3 depthwise   C | H, W
        ●   3  fc → C                   C | H, W

    Cost of one sample, and at the defaults with 32x32 positions (peak memory 524,288 bytes in float32):
        MACs          C*H*W*(C + 18)  5,373,952
        parameters    C*(C + 18)      5,248
        element-wise  0               0

    Args:
        channels: C, of the input and the output.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.w1 = nn.Parameter(torch.empty(channels, 1, 3, 3))  # conv → C 3×3 depthwise
        self.w2 = nn.Parameter(torch.empty(channels, 1, 3, 3))  # conv → C 3×3 depthwise
        self.w3 = nn.Parameter(torch.empty(channels, channels))  # fc → C
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights that keep the scale of what passes (fan-in), drawn from torch's generator."""
        nn.init.normal_(self.w1, std=1 / self.w1[0].numel() ** 0.5)
        nn.init.normal_(self.w2, std=1 / self.w2[0].numel() ** 0.5)
        nn.init.normal_(self.w3, std=1 / self.w3[0].numel() ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if c != self.channels:
            raise ValueError(f"this kernel was built for {self.channels} channels, not {c}")
        filtered = F.conv2d(x, self.w1, padding=1, groups=c)  # [N, C | H, W]
        filtered = F.conv2d(filtered, self.w2, padding=1, groups=c)  # [N, C | H, W]
        mixed = torch.bmm(self.w3.expand(n, -1, -1), filtered.reshape(n, c, h * w))  # [N, C | H, W]
        return mixed.reshape(n, c, h, w)


# What the module gives for the numbers below: `outputs` of the kernel's definition.
EXPECTED = [
    0.142408244,
    -0.0452774889,
    -0.135662635,
    -0.117566613,
    -0.076970671,
    -0.0266490866,
    0.0941963968,
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
    found, expected = outputs(Kernelb2dedea2c2(), numbers((2, 64, 6, 10), 0)), torch.tensor(EXPECTED, dtype=torch.double)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= 1e-06:
        raise SystemExit(f"failed: the outputs {found.tolist()} differ from {EXPECTED} by {difference:.2g}")


if __name__ == "__main__":
    check()
    print("ok")
