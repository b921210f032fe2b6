"""Every known kernel equals a plain-PyTorch module that is written from its paper, with as many parameters and MACs."""

from __future__ import annotations

import pytest
import torch
from kernel_sizes import fitting
from reference import random_weights
from zoo_comparison import REFERENCES, SIZES, compare, copy_weights

from kas import build, zoo

TOLERANCE = 1e-9


def test_each_known_kernel_has_a_reference() -> None:
    assert set(REFERENCES) == set(zoo.names())


@pytest.mark.parametrize("name", zoo.names())
def test_equals_its_reference(name: str) -> None:
    for sizes in SIZES:
        found = compare(name, *sizes)
        assert found.difference < TOLERANCE
        assert found.params[0] == found.params[1]
        assert found.macs[0] == found.macs[1]


@pytest.mark.parametrize("name", [name for name in zoo.names() if any(o.weight for o in zoo.get(name).outcomes)])
def test_the_comparison_sees_every_weight(name: str) -> None:
    """A reference of which one weight is changed is another function, so equality means that all weights are used alike."""
    kernel = zoo.get(name)
    channels, size, groups, widths = SIZES[0]
    size, values = fitting(kernel, size[: kernel.rank]), dict(zip(kernel.variables, widths, strict=False))
    generator = torch.Generator().manual_seed(1)
    reference = REFERENCES[name](channels, size, groups, values).double()
    random_weights(reference, generator)
    module = build(kernel, channels=channels, size=size, groups=groups, values=values).double()
    copy_weights(reference, module)
    x = torch.randn(2, channels, *size, generator=generator, dtype=torch.double)
    expected = reference(x).detach()
    for parameter in module.parameters():
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=torch.double)
        assert float((module(x).detach() - expected).abs().max()) > 1e-6 * float(expected.abs().max())
        with torch.no_grad():
            parameter.copy_(kept)
