"""Linear maps of channels at neighbouring positions, in float64: the algebra of convolutions.

A map takes `x [columns, positions]` to `y[p] = sum over offsets o of taps[o] @ x[p + o]`, with zeros outside: a
convolution of the same size whose taps may stand anywhere. The matrices are sparse, so that a depthwise map, a
permutation or an unfold costs what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["HERE", "ConvMap", "Floats", "Indices", "Offset"]

Offset = tuple[int, int]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
HERE: Offset = (0, 0)

_DENSE = 0.05  # share of entries from which a product of two matrices is quicker as a dense one
_SAMPLE = 2048  # entries that may already show that a map is not in groups


class ConvMap:
    """A linear map `[columns, positions] -> [rows, positions]`; immutable.

    Attributes:
        rows, columns: channels of the result and of what is read.
        taps: a matrix `[rows, columns]` in CSR form for each offset (over h, over w) at which it is not zero.
    """

    def __init__(self, rows: int, columns: int, taps: Mapping[Offset, Any]):
        self.rows = rows
        self.columns = columns
        self.taps = {offset: matrix for offset, matrix in sorted(taps.items()) if matrix.nnz}

    @classmethod
    def of_entries(cls, rows: int, columns: int, entries: Mapping[Offset, tuple[Indices, Indices, Floats]]) -> ConvMap:
        """From row, column and value of each entry, by offset."""
        taps = {}
        for offset, (i, j, values) in entries.items():
            matrix = sparse.csr_array((values, (i, j)), shape=(rows, columns))
            matrix.eliminate_zeros()
            taps[offset] = matrix
        return cls(rows, columns, taps)

    @classmethod
    def selection(cls, columns: int, index: Indices, offset: Offset = HERE) -> ConvMap:
        """Row i is column `index[i]`, where that is not negative."""
        i = np.flatnonzero(index >= 0)
        return cls.of_entries(len(index), columns, {offset: (i, index[i], np.ones(len(i)))})

    @classmethod
    def diagonal(cls, values: Floats) -> ConvMap:
        """Each channel times its value."""
        i = np.arange(len(values))
        return cls.of_entries(len(values), len(values), {HERE: (i, i, values)})

    @classmethod
    def dense(cls, matrix: Floats) -> ConvMap:
        """`matrix [rows, columns]` at every position."""
        rows, columns = matrix.shape
        return cls(rows, columns, {HERE: sparse.csr_array(matrix)})

    def placed(self, rows: int, columns: int, row: int, column: int) -> ConvMap:
        """A larger map, zero but for this one from the given row and column on."""
        entries = {}
        for offset, matrix in self.taps.items():
            own = matrix.tocoo()
            entries[offset] = (own.row + row, own.col + column, own.data)
        return ConvMap.of_entries(rows, columns, entries)

    def __add__(self, other: ConvMap) -> ConvMap:
        taps = dict(self.taps)
        for offset, matrix in other.taps.items():
            taps[offset] = taps[offset] + matrix if offset in taps else matrix
            taps[offset].eliminate_zeros()
        return ConvMap(self.rows, self.columns, taps)

    def after(self, inner: ConvMap) -> ConvMap | None:
        """This map of the result of another; None where no single map is equal to it at the borders.

        At p the tap o reads the inner result at p + o, which is zero outside although its own tap q may reach back
        inside. So the two may not look in opposite directions along an axis.
        """
        taps: dict[Offset, Any] = {}
        for o, ours in self.taps.items():
            for q, theirs in inner.taps.items():
                product = _product(ours, theirs)
                if not product.nnz:
                    continue
                if any(a * b < 0 for a, b in zip(o, q, strict=True)):
                    return None
                at = (o[0] + q[0], o[1] + q[1])
                taps[at] = taps[at] + product if at in taps else product
        for matrix in taps.values():
            matrix.eliminate_zeros()
        return ConvMap(self.rows, inner.columns, taps)

    def of_constant(self, values: Floats) -> Floats | None:
        """The result for an input that is `values [columns]` at every position; None if it differs at the borders."""
        if not values.any():
            return np.zeros(self.rows)
        if any((matrix @ values).any() for offset, matrix in self.taps.items() if offset != HERE):
            return None
        return np.asarray(self.taps[HERE] @ values, dtype=np.float64) if HERE in self.taps else np.zeros(self.rows)

    @property
    def pointwise(self) -> bool:
        """Whether it reads each position alone."""
        return all(offset == HERE for offset in self.taps)

    @cached_property
    def diagonal_values(self) -> Floats | None:
        """The factor of each channel, if that is all it does."""
        if self.rows != self.columns or not self.pointwise:
            return None
        if HERE not in self.taps:
            return np.zeros(self.rows)
        entries = self.taps[HERE].tocoo()
        if (entries.row != entries.col).any():
            return None
        return np.asarray(self.taps[HERE].diagonal(), dtype=np.float64)

    @cached_property
    def sign(self) -> int:
        """1 for the identity, -1 for its negative, 0 for anything else."""
        values = self.diagonal_values
        if values is None or not (np.abs(values) == 1).all() or not (values == values[0]).all():
            return 0
        return int(values[0])

    @cached_property
    def window(self) -> tuple[Offset, Offset]:
        """Odd kernel sizes and dilations of the smallest centred convolution that holds all taps."""
        sizes, spreads = [], []
        for axis in (0, 1):
            steps = [abs(offset[axis]) for offset in self.taps]
            d = gcd(*steps) or 1
            sizes.append(2 * max(steps, default=0) // d + 1)
            spreads.append(d if sizes[-1] > 1 else 1)
        return (sizes[0], sizes[1]), (spreads[0], spreads[1])

    @cached_property
    def groups(self) -> int:
        """The largest number of groups such that each reads its own columns only."""
        if any(matrix.nnz > self.rows * self.columns // 2 for matrix in self.taps.values()):
            return 1
        entries = [matrix.tocoo() for matrix in self.taps.values()]
        if not entries:
            return gcd(self.rows, self.columns)
        rows = np.concatenate([matrix.row for matrix in entries])
        columns = np.concatenate([matrix.col for matrix in entries])
        most = gcd(self.rows, self.columns)
        for groups in (g for g in range(most, 1, -1) if most % g == 0):
            each = self.rows // groups, self.columns // groups
            if all((rows[:n] // each[0] == columns[:n] // each[1]).all() for n in (_SAMPLE, len(rows))):
                return groups
        return 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of that convolution for one position."""
        (kh, kw), _ = self.window
        return self.rows * self.columns // self.groups * kh * kw

    def weight(self) -> Floats:
        """The weight `[rows, columns/groups, kh, kw]` of that convolution."""
        (kh, kw), (dh, dw) = self.window
        each = self.rows // self.groups, self.columns // self.groups
        dense = np.zeros((self.rows, each[1], kh, kw))
        for (oh, ow), matrix in self.taps.items():
            entries = matrix.tocoo()
            columns = entries.col - entries.row // each[0] * each[1]
            dense[entries.row, columns, oh // dh + kh // 2, ow // dw + kw // 2] = entries.data
        return dense


def _product(left: Any, right: Any) -> Any:
    """The product of two sparse matrices, as a sparse one."""
    if all(matrix.nnz > _DENSE * matrix.shape[0] * matrix.shape[1] for matrix in (left, right)):
        return sparse.csr_array(left.toarray() @ right.toarray())
    return (left @ right).tocsr()
