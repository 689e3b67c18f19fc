"""Exact products of integers, by floating point where that is exact."""

import numpy as np

from oracle.tensor import Array


def integer_product(a: Array, b: Array) -> Array:
    """a [*, M, K] · b [*, N, K]ᵀ of integers, wrapped to their dtype: by floating point where all
    sums stay below its precision, so that every one of them is exact."""
    size = _largest(a) * _largest(b) * a.shape[-1]
    columns = np.swapaxes(b, -1, -2)
    for precise, below in ((np.float32, 1 << 24), (np.float64, 1 << 53)):
        if size < below:
            out: Array = np.matmul(a.astype(precise), columns.astype(precise))
            return out.astype(np.int64).astype(a.dtype)
    wrapped: Array = np.matmul(a.astype(np.int64), columns.astype(np.int64)).astype(a.dtype)
    return wrapped


def _largest(x: Array) -> int:
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))
