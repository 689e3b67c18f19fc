"""Transposes, one square at a time that the first cache holds."""

import numpy as np

from oracle.exact.kernels.compiled import compiled
from oracle.tensor import Array

SIDE = 16


@compiled
def transpose(x: Array, out: Array) -> None:
    """Transposes [n, rows, columns] to [n, columns, rows]. A square is read along rows and written
    along columns, because numpy's strides would meet in the same few lines of the cache."""
    n, rows, columns = x.shape
    square = np.empty((SIDE, SIDE), x.dtype)
    for batch in range(n):
        for top in range(0, rows, SIDE):
            for left in range(0, columns, SIDE):
                height, width = min(SIDE, rows - top), min(SIDE, columns - left)
                if height == SIDE and width == SIDE:
                    for row in range(SIDE):
                        for column in range(SIDE):
                            square[row, column] = x[batch, top + row, left + column]
                    for column in range(SIDE):
                        for row in range(SIDE):
                            out[batch, left + column, top + row] = square[row, column]
                else:
                    for column in range(left, left + width):
                        for row in range(top, top + height):
                            out[batch, column, row] = x[batch, row, column]
