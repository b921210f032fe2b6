"""The definitions of the windows and products of the language, written again with indices and loops.

Images are `[N, g, c, kh, kw, h, w]`, an axis of length 1 where it is empty.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

__all__ = ["bmm", "col2im", "pool", "reassemble", "spatial_shift", "subpixel", "unwindow", "upsample", "window"]

TAP, PLACE = {"h": 3, "w": 4}, {"h": 5, "w": 6}


def _at(x: Tensor, places: dict[int, int]) -> Tensor:
    """A view of x where some axes have one place."""
    return x[tuple(places.get(axis, slice(None)) for axis in range(x.ndim))]


def _empty(x: Tensor, lengths: dict[int, int]) -> Tensor:
    return torch.full([lengths.get(axis, length) for axis, length in enumerate(x.shape)], torch.nan).to(x)


def window(x: Tensor, over: str, size: int, grid: bool) -> Tensor:
    for axis in over:
        tap, place = TAP[axis], PLACE[axis]
        count = x.shape[place] // size
        y = _empty(x, {tap: count, place: size} if grid else {tap: size, place: count})
        for p in range(x.shape[place]):
            q, r = divmod(p, size)
            _at(y, {tap: q, place: r} if grid else {tap: r, place: q})[:] = _at(x, {tap: 0, place: p})
        x = y
    return x


def unwindow(x: Tensor, over: str, grid: bool) -> Tensor:
    for axis in over:
        tap, place = TAP[axis], PLACE[axis]
        taps, places = x.shape[tap], x.shape[place]
        y = _empty(x, {tap: 1, place: taps * places})
        for t, p in product(range(taps), range(places)):
            _at(y, {tap: 0, place: t * places + p if grid else p * taps + t})[:] = _at(x, {tap: t, place: p})
        x = y
    return x


def subpixel(x: Tensor, over: str, k: int) -> Tensor:
    rows, columns = (k if axis in over else 1 for axis in "hw")
    y = _empty(x, {2: x.shape[2] // (rows * columns), 3: rows, 4: columns})
    for c in range(x.shape[2]):
        rest, column = divmod(c, columns)
        channel, row = divmod(rest, rows)
        _at(y, {2: channel, 3: row, 4: column})[:] = _at(x, {2: c, 3: 0, 4: 0})
    return y


def pool(x: Tensor, over: str, k: int, how: str) -> Tensor:
    for axis in over:
        place = PLACE[axis]
        y = _empty(x, {place: x.shape[place] // k})
        for p in range(y.shape[place]):
            parts = [_at(x, {place: k * p + j}) for j in range(k)]
            _at(y, {place: p})[:] = sum(parts) / k if how == "mean" else torch.stack(parts).amax(0)
        x = y
    return x


def upsample(x: Tensor, over: str, k: int) -> Tensor:
    for axis in over:
        place = PLACE[axis]
        y = _empty(x, {place: x.shape[place] * k})
        for p in range(y.shape[place]):
            _at(y, {place: p})[:] = _at(x, {place: p // k})
        x = y
    return x


def col2im(x: Tensor, over: str, d: int) -> Tensor:
    for axis in over:
        tap, place = TAP[axis], PLACE[axis]
        y = torch.zeros_like(_empty(x, {tap: 1}))
        for j, p in product(range(x.shape[tap]), range(x.shape[place])):
            to = p + (j - (x.shape[tap] - 1) // 2) * d
            if 0 <= to < x.shape[place]:
                _at(y, {tap: 0, place: to}).add_(_at(x, {tap: j, place: p}))
        x = y
    return x


def spatial_shift(x: Tensor, by: list[list[int]], pad: str) -> Tensor:
    y = torch.zeros_like(x)
    part, (height, width) = x.shape[2] // len(by), x.shape[5:]
    for c, p, q in product(range(x.shape[2]), range(height), range(width)):
        row, column = p - by[c // part][0], q - by[c // part][1]
        if pad == "roll":
            row, column = row % height, column % width
        if pad == "edge":
            row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        if 0 <= row < height and 0 <= column < width:
            y[:, :, c, :, :, p, q] = x[:, :, c, :, :, row, column]
    return y


def reassemble(left: Tensor, right: Tensor) -> Tensor:
    """`left` `[N, g, c, kh, kw, h, w]`, `right` `[N, g or 1, kh * kw, kh', kw', h, w]`."""
    y = torch.zeros(*left.shape[:3], *right.shape[3:]).to(left)
    taps = product(range(left.shape[3]), range(left.shape[4]))
    for number, (row, column) in enumerate(taps):
        y += left[:, :, :, row : row + 1, column : column + 1] * right[:, :, number : number + 1]
    return y


def bmm(
    left: tuple[list[str], Tensor], right: tuple[list[str], Tensor], batch: list[str], t: list[bool], softmax: bool
) -> tuple[list[str], Tensor]:
    """Operands and result as the full names of the axes after the first, and the tensor: `(["0.c", "1.h"], [N, C, H])`.

    The result has the batch first, by its short names, then what is kept of the left and of the right.
    """
    matrices, kept = [], []
    for (names, x), contracted in ((left, 0 if t[0] else 1), (right, 1 if t[1] else 0)):
        own = [next(name for name in names if name[2:] == short) for short in batch]
        rest = [name for name in names if name not in own]
        stay, gone = ([n for n in rest if (int(n[0]) == contracted) == g] for g in (False, True))
        x = x.permute(0, *(1 + names.index(name) for name in [*own, *stay, *gone]))
        kept.append([(name[2:], x.shape[1 + len(own) + i]) for i, name in enumerate(stay)])
        sizes = x.shape[1 : 1 + len(own)]
        matrices.append(x.flatten(1 + len(own) + len(stay)) if gone else x.unsqueeze(-1))
        matrices[-1] = matrices[-1].reshape(x.shape[0], *sizes, -1, matrices[-1].shape[-1])
    a, b = matrices
    rows = [[(a[n][i], b[n][i]) for i in product(*(range(k) for k in a.shape[1:-2]))] for n in range(a.shape[0])]
    result = torch.stack([torch.stack([one @ other.T for one, other in row]) for row in rows]) / a.shape[-1] ** 0.5
    if softmax:
        result = result.exp() / result.exp().sum(-1, keepdim=True)
    sizes = [*a.shape[1:-2], *(size for side in kept for _, size in side)]
    names = [*batch, *(f"0.{name}" for name, _ in kept[0]), *(f"1.{name}" for name, _ in kept[1])]
    return names, result.reshape(a.shape[0], *sizes)
