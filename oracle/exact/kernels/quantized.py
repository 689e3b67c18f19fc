"""Quantizing: float32 numbers become small integers."""

import numpy as np

from oracle.exact.kernels.compiled import compiled
from oracle.tensor import Array


@compiled
def quantize(x: Array, scale: Array, zero: Array, low: int, high: int, out: Array) -> None:
    """Quantizes by one scale and one zero point. Adding the zero point in float32 is safe: beyond
    ±2^23, where that could round, the result is clamped anyway."""
    step, point = scale[0], np.float32(zero[0])
    least, most = np.float32(low), np.float32(high)
    for at in range(x.size):
        q = np.rint(x[at] / step)
        q = point + (q if q == q else np.float32(0))
        q = least if q < least else q
        out[at] = np.int32(most if q > most else q)
