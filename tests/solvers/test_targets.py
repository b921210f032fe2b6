"""Targets and the cost of what stands around a kernel."""

import subprocess
import sys
from math import prod

import pytest

from kas.language.errors import KasError
from kas.solvers.targets import Adapter, Target


def test_fields_and_defaults():
    target = Target(name="layer1.0.conv1", in_channels=64, out_channels=64, size=(32, 32), stride=1, kernel_size=(3, 3))
    assert target == Target("layer1.0.conv1", 64, 64, (32, 32))
    assert (target.groups, target.dilation, target.bias, target.rank) == (1, 1, False, 2)
    assert target.params == 64 * 64 * 9
    assert target.macs == 32 * 32 * 64 * 64 * 9
    assert target.memory == 4 * 2 * 64 * 32 * 32


@pytest.mark.parametrize(("size", "kernel_size"), [((7, 5), (3, 3)), ((9,), (3,)), ((), ())])
def test_default_kernel_fits_the_rank(size, kernel_size):
    target = Target("t", 4, 6, size)
    assert target.kernel_size == kernel_size
    assert target.params == 4 * 6 * prod(kernel_size)
    assert target.macs == target.params * prod(size)


def test_groups_and_strides():
    target = Target("t", 32, 64, (5, 6), stride=(2, 1), kernel_size=(3, 5), groups=4, dilation=(2, 2))
    assert target.dilation == 2
    assert (target.strides, target.dilations) == ((2, 1), (2, 2))
    assert target.params == 64 * 8 * 15
    assert target.memory == 4 * (32 * 5 * 6 * 2 + 64 * 5 * 6)
    assert Target("t", 4, 4, (5, 5), stride=(2, 2)) == Target("t", 4, 4, (5, 5), stride=2)


@pytest.mark.parametrize(
    ("c_in", "c_out", "bias", "channels", "adapter"),
    [
        (8, 8, False, 8, Adapter("same", 1, 0, 0, 0)),
        (8, 8, True, 8, Adapter("same", 1, 0, 8, 8 * 12)),
        (8, 24, False, 8, Adapter("copies", 3, 0, 0, 0)),
        (24, 8, False, 8, Adapter("splits", 3, 0, 0, 2 * 8 * 12)),
        (12, 8, True, 8, Adapter("projection", 1, 96 * 12, 96 + 8, 8 * 12)),
    ],
)
def test_adapter(c_in, c_out, bias, channels, adapter):
    target = Target("t", c_in, c_out, (3, 4), bias=bias)
    assert target.adapter == adapter
    assert target.channels == channels


def test_pooling_costs_no_macs():
    assert Target("t", 8, 8, (3, 4), stride=2).adapter == Adapter("same", 1, 0, 0, 4 * 8 * 12)


def test_round_trip():
    target = Target("a.b", 8, 16, (3, 4), stride=(2, 1), kernel_size=(1, 3), groups=2, bias=True)
    assert Target.from_dict(target.to_dict()) == target
    assert target.to_dict()["size"] == [3, 4]
    assert hash(Target.from_dict(target.to_dict())) == hash(target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 0}, r"target 't': in_channels=0; expected an integer of at least 1"),
        ({"size": (4, 4, 4)}, r"size \(4, 4, 4\) has 3 axes"),
        ({"size": 4}, r"size=4; expected a tuple"),
        ({"size": (4, 0)}, r"size=0; expected an integer"),
        ({"kernel_size": (3,)}, r"kernel_size=\(3,\) does not fit the axes of size=\(4, 4\)"),
        ({"stride": (2, 2, 2)}, r"stride=\(2, 2, 2\) does not fit"),
        ({"stride": "2"}, r"stride='2'; expected a tuple"),
        ({"groups": 3}, r"groups=3 must divide in_channels=8 and out_channels=8"),
    ],
)
def test_bad_fields(changes, message):
    fields = {"name": "t", "in_channels": 8, "out_channels": 8, "size": (4, 4), **changes}
    with pytest.raises(KasError, match=message):
        Target(**fields)


def test_bad_dicts():
    with pytest.raises(KasError, match=r"unknown keys \['colour'\]"):
        Target.from_dict({"name": "t", "in_channels": 1, "out_channels": 1, "size": [], "colour": 1})
    with pytest.raises(KasError, match=r"missing keys \['in_channels', 'size'\]"):
        Target.from_dict({"name": "t", "out_channels": 1})


def test_needs_no_torch():
    code = "import kas.solvers.targets, sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
