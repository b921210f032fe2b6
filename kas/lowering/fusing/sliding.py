"""One filter that slides along an axis, as a linear map of the channels and their neighbours."""

from __future__ import annotations

import numpy as np

from kas.lowering.fusing.maps import HERE, ConvMap, Floats, Indices

__all__ = ["sliding"]


def sliding(axis: str, d: int, weights: Floats, grid: Indices) -> ConvMap:
    """The map of a filter with taps `d` apart along `0.c`, `1.h` or `1.w`; `grid` numbers the channels, `[g, c, kh, kw]`."""
    count = grid.size
    offsets = [(tap - len(weights) // 2) * d for tap in range(len(weights))]
    if axis[0] == "1":
        every = grid.ravel()
        places = [(by, 0) if axis == "1.h" else (0, by) for by in offsets]
        taps = zip(places, weights, strict=True)
        return ConvMap.of_entries(count, count, {place: (every, every, np.full(count, weight)) for place, weight in taps})
    rows, columns, values = [], [], []
    for by, weight in zip(offsets, weights, strict=True):
        length = max(grid.shape[1] - abs(by), 0)  # of the places whose tap is inside
        to, source = grid[:, max(-by, 0) :][:, :length], grid[:, max(by, 0) :][:, :length]
        rows.append(to.ravel())
        columns.append(source.ravel())
        values.append(np.full(to.size, weight))
    return ConvMap.of_entries(count, count, {HERE: (np.concatenate(rows), np.concatenate(columns), np.concatenate(values))})
