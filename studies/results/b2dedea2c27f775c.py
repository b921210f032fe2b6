"""A kernel of 5,373,952 MACs and 5,248 parameters."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Kernelb2dedea2c2(nn.Module):
    """Maps [N, 64, H, W] to [N, 64, H, W], for any size at which its dims are integers. Written for C = 64, H = 32, W = 32.

    Cost for one sample at that size: 5,373,952 MACs, 5,248 parameters, 0 element-wise,
    524,288 bytes of activations at the peak. Tensor 0 is the input; the program:

        1: conv of 0 (to=C, k=[3, 3], d=[1, 1], depthwise=True)
        2: conv of 1 (to=C, k=[3, 3], d=[1, 1], depthwise=True)
        3: fc of 2 (to=C)
    """

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(64, 1, 3, 3))
        self.w2 = nn.Parameter(torch.empty(64, 1, 3, 3))
        self.w3 = nn.Parameter(torch.empty(64, 64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights that keep the variance (fan-in), drawn from torch's generator."""
        nn.init.normal_(self.w1, std=0.33333333)
        nn.init.normal_(self.w2, std=0.33333333)
        nn.init.normal_(self.w3, std=0.125)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        x = F.conv2d(x, self.w1, padding=1, groups=64)  # [c=C | h=H, w=W]
        x = F.conv2d(x, self.w2, padding=1, groups=64)  # [c=C | h=H, w=W]
        x = torch.bmm(self.w3.expand(n, -1, -1), x.reshape(n, 64, h * w))  # [c=C | h=H, w=W]
        return x.reshape(n, 64, h, w)
