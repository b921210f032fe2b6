"""Windows, pooling, overlapping sums and shifts of parts against the definitions, at sizes other than the one built for."""

from __future__ import annotations

import op_reference as reference
import pytest
import torch
import torch.nn.functional as F
from lowering_programs import FC, PROGRAMS, UNFOLD, op, program, shifted

from kas.language import Infeasible
from kas.lowering import build

LOWERINGS = ["plain", "optimized"]
SIZES = [(6, 8), (8, 4), (4, 12)]
CHANNELS = 8


def run(kernel, x, lowering, weights=()):
    """The kernel's module, built for the first size and one group for two channels, with given weights."""
    built = [6, 8][: x.ndim - 2]
    module = build(kernel, channels=CHANNELS, size=tuple(built), groups=4, lowering=lowering).double()
    with torch.no_grad():
        for parameter, weight in zip(module.parameters(), weights, strict=True):
            parameter.copy_(weight.reshape(parameter.shape))
        return module(x)


def images(rank=2):
    generator = torch.Generator().manual_seed(0)
    for size in SIZES:
        yield torch.randn(2, CHANNELS, *size[:rank], generator=generator, dtype=torch.double)


def apart(x):
    """`[N, C, H, W]` as `[N, g, c, kh, kw, h, w]`."""
    return x.reshape(x.shape[0], 1, x.shape[1], 1, 1, x.shape[2], x.shape[3] if x.ndim == 4 else 1)


def weight(rows, columns=CHANNELS):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1), dtype=torch.double)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("over", ["h", "w", "hw"])
@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("side", ["taps", "places"])
def test_windows(lowering, over, grid, side):
    """A softmax over taps or over places, then back: inside each window, or among equal places of all windows."""
    axes = [f"0.k{axis}" if side == "taps" else f"1.{axis}" for axis in over]
    kernel = program(op("window", over=over, size=2, grid=grid), op("softmax", axes=axes), op("unwindow", over=over, grid=grid))
    for x in images():
        cut = reference.window(apart(x), over, 2, grid)
        places = [(reference.TAP if side == "taps" else reference.PLACE)[axis] for axis in over]
        shares = cut.exp() / cut.exp().sum(places, keepdim=True)
        expected = reference.unwindow(shares, over, grid).reshape(x.shape)
        assert torch.allclose(run(kernel, x, lowering), expected, atol=1e-12)


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("over", ["h", "w", "hw"])
def test_unwindow_undoes_window(over, grid):
    for x in images():
        whole = apart(x)
        assert torch.equal(reference.unwindow(reference.window(whole, over, 2, grid), over, grid), whole)
        kernel = program(op("window", over=over, size=2, grid=grid), op("unwindow", over=over, grid=grid), FC)
        assert torch.equal(run(kernel, x, "plain", [torch.eye(CHANNELS)]), x)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_windows_put_back_another_way_permute_positions(lowering):
    for x in images():
        expected = reference.unwindow(reference.window(apart(x), "hw", 2, False), "hw", True).reshape(x.shape)
        found = run(PROGRAMS["windows put back another way"], x, lowering, [torch.eye(CHANNELS)])
        assert torch.equal(found, expected)
        assert not torch.equal(found, x)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_sub_pixels_are_a_pixel_shuffle(lowering):
    expand = weight(4 * CHANNELS)
    kernel = program(
        op("pool", over="hw", k=2, how="mean"), op("fc", to="4*C"), op("subpixel", over="hw", k=2), op("unwindow", over="hw")
    )
    for x in images():
        expected = F.pixel_shuffle(F.conv2d(F.avg_pool2d(x, 2), expand[:, :, None, None]), 2)
        assert torch.allclose(run(kernel, x, lowering, [expand]), expected, atol=1e-12)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("over", ["h", "w", "hw"])
def test_sub_pixels_take_channels_apart_with_the_taps_last(lowering, over):
    taps, axes = 2 ** len(over), [f"0.k{axis}" for axis in over]
    kernel = program(
        op("fc", to=f"{taps}*C"),
        op("subpixel", over=over, k=2),
        op("tanh"),
        op("fold", axes=axes, how="max"),
    )
    expand = weight(taps * CHANNELS)
    for x in images():
        wide = apart(torch.einsum("oc,nchw->nohw", expand, x))
        expected = reference.subpixel(wide, over, 2).tanh().amax((3, 4)).reshape(x.shape)
        assert torch.allclose(run(kernel, x, lowering, [expand]), expected, atol=1e-12)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("over", ["h", "w", "hw"])
def test_pool_and_upsample(lowering, how, over):
    kernel = program(op("pool", over=over, k=2, how=how), op("upsample", over=over, k=2))
    for x in images():
        expected = reference.upsample(reference.pool(apart(x), over, 2, how), over, 2).reshape(x.shape)
        assert torch.allclose(run(kernel, x, lowering), expected, atol=1e-12)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("over", ["h", "w", "hw"])
def test_col2im(lowering, d, over):
    k = 3
    expand = weight(k ** len(over) * CHANNELS)
    kernel = program(op("fc", to=f"{k ** len(over)}*C"), op("subpixel", over=over, k=k), op("col2im", over=over, d=d))
    for x in images():
        wide = torch.einsum("oc,nchw->nohw", expand, x)
        expected = reference.col2im(reference.subpixel(apart(wide), over, k), over, d).reshape(x.shape)
        found = run(kernel, x, lowering, [expand])
        assert torch.allclose(found, expected, atol=1e-12)
        window = tuple(k if axis in over else 1 for axis in "hw")
        options = {"dilation": d, "padding": tuple(d * (one - 1) // 2 for one in window)}
        assert torch.allclose(found, F.fold(wide.flatten(2), x.shape[2:], window, **options), atol=1e-12)
        other = torch.randn_like(x)  # the adjoint of unfold: <col2im(t), y> = <t, unfold(y)>
        assert torch.allclose((found * other).sum(), (wide.flatten(2) * F.unfold(other, window, **options)).sum())


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_overlapping_sums_in_turn(lowering):
    expand = weight(9 * CHANNELS)
    for x in images():
        taps = reference.subpixel(apart(torch.einsum("oc,nchw->nohw", expand, x)), "hw", 3).tanh()
        expected = reference.col2im(reference.col2im(taps, "h", 2), "w", 1).reshape(x.shape)
        found = run(PROGRAMS["overlapping sums in turn"], x, lowering, [expand])
        assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("pad", ["zero", "edge", "roll"])
@pytest.mark.parametrize("by", [[(1, 0), (-1, 0), (0, 2), (0, -1)], [(0, 0), (-2, 3)]], ids=["four", "two"])
def test_spatial_shift(lowering, pad, by):
    for x in images():
        expected = reference.spatial_shift(apart(x), by, pad).reshape(x.shape)
        assert torch.equal(run(program(shifted(pad, *by)), x, lowering), expected)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_of_a_row(lowering):
    for x in images(1):
        assert torch.equal(
            run(program(op("pool", over="h", k=2, how="max"), op("upsample", over="h", k=2), rank=1), x, lowering),
            reference.upsample(reference.pool(apart(x), "h", 2, "max"), "h", 2).reshape(x.shape),
        )
        assert torch.equal(
            run(program(shifted("edge", (1, 0), (-3, 0)), rank=1), x, lowering),
            reference.spatial_shift(apart(x), [[1, 0], [-3, 0]], "edge").reshape(x.shape),
        )


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(
    ("kernel", "size", "message"),
    [
        ("softmax in windows", (6, 9), r"step 1 \(window\): the dim W/2 is no integer at W = 9"),
        ("pool and upsample", (7, 8), r"step 1 \(pool\): the dim H/2 is no integer at H = 7"),
        (
            "parts shifted, zeros from outside",
            (6, 2),
            r"step 2 \(spatial_shift\): the axis of W is not longer than the shift by 2 at W = 2",
        ),
    ],
)
def test_sizes_that_do_not_fit(kernel, size, message, lowering):
    module = build(PROGRAMS[kernel], channels=CHANNELS, size=(6, 8), groups=4, lowering=lowering)
    with pytest.raises(ValueError, match=message):
        module(torch.zeros(1, CHANNELS, *size))


@pytest.mark.parametrize(
    ("kernel", "size", "message"),
    [
        ("softmax in windows", (6, 9), r"step 1 \(window\): the dim W/2 is 9/2, which is not an integer"),
        ("parts shifted, the border repeated", (6, 2), r"step 2 \(spatial_shift\): the axis '1.w' \(W\) is 2 long.* by 2$"),
    ],
)
def test_sizes_that_cannot_be_built(kernel, size, message):
    with pytest.raises(Infeasible, match=message):
        build(PROGRAMS[kernel], channels=CHANNELS, size=size)


def test_the_definitions_agree_with_unfold():
    """`col2im` after `unfold` counts how many neighbours a position has."""
    kernel = program(UNFOLD, op("relu"), op("col2im", over="hw", d=1))
    ones = torch.ones(1, CHANNELS, 6, 8, dtype=torch.double)
    found = run(kernel, ones, "optimized")[0, 0]
    assert found[0, 0] == 4
    assert found[0, 1] == 6
    assert found[2, 3] == 9
