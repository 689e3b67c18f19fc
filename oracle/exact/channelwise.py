"""Convolutions whose groups have one channel each: plans for `kernels.channelwise`."""

from collections.abc import Sequence

import numpy as np

from oracle.exact.bands import Bands
from oracle.exact.contraction import NO_BIAS, Bias, flat
from oracle.exact.patches import Axis
from oracle.exact.sums import UNIT
from oracle.tensor import Array


class Multipliers:
    """Packs weights [channels·many, *kernel, 1] in the order in which the kernel reads them."""

    def __init__(self, channels: int, w: Array):
        from oracle.exact.kernels.channelwise import (
            pack,
            packed_size,
        )  # numba takes its time to load

        many, terms = len(w) // channels, w[0].size
        self.packed: Array = np.empty(packed_size(channels, many, terms), np.float32)
        pack(flat(w).reshape(channels, many, terms), self.packed)
        self.is_finite = bool(np.isfinite(w).all())


class Channelwise:
    """Convolves x [images, *size, channels] with weights that each belong to one channel, to
    [images, *windows, channels·many]."""

    def __init__(
        self, x: tuple[int, ...], axes: Sequence[Axis], windows: Sequence[int], outputs: int
    ):
        from oracle.exact.kernels.channelwise import channelwise

        self._channelwise = channelwise
        self._shape = (x[0], *windows, outputs)
        self._bands = bands = Bands(x, axes, windows)
        taps = bands.taps(axes)
        self._taps = np.array([(at, 1) for at in taps], np.int64)
        # As for contractions, of whose 16 rows need as little; `sizes` are off by K + 1 units
        # relatively.
        self._unit = (len(taps) + 17) * UNIT * (1 + 2.0**-10)
        self._numbers = (*bands.numbers, x[-1], outputs // x[-1])

    def rounded(self, x: Array, w: Multipliers, bias: Bias = NO_BIAS) -> tuple[Array, int]:
        """Gives the exact sums rounded to float32, and how many are left OPEN."""
        bands = self._bands
        out = np.empty(self._shape, np.float32)
        left = self._channelwise(
            flat(x),
            w.packed,
            self._unit,
            bias.values,
            (*self._numbers, bias.column),
            w.is_finite or not bands.is_padded,
            bands.source,
            bands.segments,
            bands.starts,
            self._taps,
            bands.band(),
            out.reshape(-1),
        )
        return out, left
