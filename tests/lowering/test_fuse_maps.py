"""The algebra of convolutions against numpy and torch: composition, borders, groups."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kas.lowering.fusing.affine import Affine, Source
from kas.lowering.fusing.maps import ConvMap


def random_map(rng, rows, columns, offsets, density=1.0):
    entries = {}
    for offset in offsets:
        i, j = np.nonzero(rng.random((rows, columns)) < density)
        entries[offset] = (i, j, rng.standard_normal(len(i)))
    return ConvMap.of_entries(rows, columns, entries)


def apply(map_, x):
    """The definition: y[p] = sum of taps[o] @ x[p + o], zeros outside."""
    y = np.zeros((map_.rows, *x.shape[1:]))
    for (oh, ow), matrix in map_.taps.items():
        for h in range(x.shape[1]):
            for w in range(x.shape[2]):
                if 0 <= h + oh < x.shape[1] and 0 <= w + ow < x.shape[2]:
                    y[:, h, w] += matrix @ x[:, h + oh, w + ow]
    return y


SQUARE = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
COLUMN = [(-1, 0), (0, 0), (1, 0)]
ROW = [(0, -2), (0, 0), (0, 2)]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (SQUARE, [(0, 0)]),
        ([(0, 0)], SQUARE),
        (COLUMN, ROW),
        (ROW, COLUMN),
        ([(1, 0), (0, 0)], [(2, 0), (0, 1)]),
    ],
)
def test_composition(outer, inner):
    rng = np.random.default_rng(0)
    a, b = random_map(rng, 4, 6, outer), random_map(rng, 6, 3, inner)
    x = rng.standard_normal((3, 4, 5))
    composed = a.after(b)
    assert composed is not None
    np.testing.assert_allclose(apply(composed, x), apply(a, apply(b, x)), atol=1e-12)


@pytest.mark.parametrize(("outer", "inner"), [(SQUARE, SQUARE), (COLUMN, COLUMN), ([(1, 0)], [(-1, 0)]), (ROW, SQUARE)])
def test_no_composition_where_the_borders_differ(outer, inner):
    """Looking back over a border: the inner result is zero there, although its taps would see the inside again."""
    rng = np.random.default_rng(0)
    assert random_map(rng, 4, 4, outer).after(random_map(rng, 4, 4, inner)) is None


def test_composition_of_sparse_and_of_dense_maps_is_one():
    rng = np.random.default_rng(1)
    a, b = random_map(rng, 40, 40, [(0, 0)]), random_map(rng, 40, 40, SQUARE, density=0.02)
    for left, right in ((a, a), (a, b), (b, a)):
        composed = left.after(right)
        assert composed is not None
        for offset in right.taps if left is a else left.taps:
            expected = left.taps[offset if left is b else (0, 0)] @ right.taps[offset if right is b else (0, 0)]
            np.testing.assert_allclose(composed.taps[offset].toarray(), expected.toarray(), atol=1e-12)


@pytest.mark.parametrize(
    ("groups", "k", "d"), [(1, (3, 3), (1, 1)), (2, (1, 5), (1, 2)), (4, (3, 1), (3, 1)), (12, (3, 3), (2, 1))]
)
def test_weight_is_that_of_a_convolution(groups, k, d):
    weight = torch.randn(12, 12 // groups, *k, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    entries = {}
    for a in range(k[0]):
        for b in range(k[1]):
            dense = torch.block_diag(*weight[:, :, a, b].chunk(groups)).numpy()
            i, j = np.nonzero(dense)
            entries[(a - k[0] // 2) * d[0], (b - k[1] // 2) * d[1]] = (i, j, dense[i, j])
    found = ConvMap.of_entries(12, 12, entries)
    assert (found.groups, found.window) == (groups, (k, d))
    assert found.macs == weight.numel()
    np.testing.assert_array_equal(found.weight(), weight.numpy())
    x = torch.randn(1, 12, 7, 8, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    padding = tuple(n * (m - 1) // 2 for n, m in zip(d, k, strict=True))
    expected = F.conv2d(x, weight, padding=padding, dilation=d, groups=groups)[0].numpy()
    np.testing.assert_allclose(apply(found, x[0].numpy()), expected, atol=1e-12)


def test_taps_that_stand_on_one_side():
    """A causal filter is a centred convolution with zeros."""
    found = ConvMap.selection(2, np.array([0, 1]), (2, 0))
    assert found.window == ((3, 1), (2, 1))
    np.testing.assert_array_equal(found.weight()[:, 0, :, 0], [[0, 0, 1], [0, 0, 1]])


def test_what_a_map_is():
    eye = ConvMap.diagonal(np.ones(3))
    minus = ConvMap.diagonal(-np.ones(3))
    assert (eye.sign, minus.sign, (eye + eye).sign) == (1, -1, 0)
    assert (eye + minus).taps == {}
    assert ConvMap.diagonal(np.array([1.0, -1.0])).sign == 0
    np.testing.assert_array_equal((eye + eye).diagonal_values, [2, 2, 2])
    assert ConvMap.selection(3, np.array([1, 0, 2])).diagonal_values is None
    assert ConvMap.selection(3, np.array([0, 1, 2]), (1, 0)).diagonal_values is None


def test_a_constant_through_a_border():
    rng = np.random.default_rng(2)
    assert random_map(rng, 3, 3, SQUARE).of_constant(np.ones(3)) is None
    np.testing.assert_array_equal(random_map(rng, 3, 3, SQUARE).of_constant(np.zeros(3)), np.zeros(3))
    point = random_map(rng, 3, 3, [(0, 0)])
    np.testing.assert_allclose(point.of_constant(np.ones(3)), point.taps[0, 0].toarray().sum(1))


def test_a_roll_changes_places_with_pointwise_maps_only():
    rng = np.random.default_rng(3)
    rolled = Affine({Source(1, (1, 0)): random_map(rng, 3, 3, SQUARE)}, np.zeros(3))
    point, wide = (Affine.of((0, random_map(rng, 3, 3, offsets))) for offsets in ([(0, 0)], SQUARE))
    found = rolled.inlined(Source(1, (1, 0)), point)
    assert found is not None
    assert list(found.terms) == [Source(0, (1, 0))]
    assert rolled.inlined(Source(1, (1, 0)), wide) is None
    assert rolled.inlined(Source(1, (1, 0)), Affine({Source(0, (1, 0)): point.terms[Source(0)]}, np.zeros(3))) is None
