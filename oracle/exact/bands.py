"""Lays an image out in bands: a few of its rows, padding included, that fit into a cache."""

import threading
from collections.abc import Sequence
from math import prod

import numpy as np

from oracle.exact.patches import Axis
from oracle.tensor import Array

_BAND = 1 << 16
"""The elements of a band, float64: they take half of a core's cache."""
_WINDOWS = 1 << 12
"""The most windows of a band that has more than one row."""
_TALL = 8
"""The windows of a band at least, where the image has that many."""
_KEPT = 1 << 18
"""The elements of the largest band whose memory a thread keeps."""


class _Memory(threading.local):
    """Keeps a thread's memory for a band from call to call, because fresh pages of the system cost
    more than a small convolution."""

    band: Array = np.empty(0)

    def take(self, size: int) -> Array:
        if size > _KEPT:
            return np.empty(size)
        if self.band.size < size:
            self.band = np.empty(size)
        return self.band[:size]


_memory = _Memory()


class Bands:
    """Cuts x [images, *size, channels] into bands for the windows over it. A row is all elements at
    one place of the first axis. A band has whole rows, of several images where those are small and
    `shared` is set."""

    def __init__(
        self, x: tuple[int, ...], axes: Sequence[Axis], windows: Sequence[int], shared: bool = True
    ):
        images, channels = x[0], x[-1]
        extents = [axis.extent(many) for axis, many in zip(axes, windows, strict=True)]
        pixels = [_elements(*one) for one in zip(axes, x[1:-1], extents, strict=True)]
        self.source: Array = pixels[0]
        self.segments = _segments(pixels[1:], x[2:-1], channels)
        self._steps = [prod(extents[at + 1 :]) * channels for at in range(len(axes))]
        first, extent, across = axes[0], self._steps[0], prod(windows[1:])
        rows = max(1, min(windows[0], _rows(first, extent, across)))
        depth = first.extent(rows) * extent
        together = 1
        if shared and rows == windows[0]:
            most = min(_BAND // max(1, depth), _WINDOWS // max(1, rows * across))
            together = max(1, min(images, most))
        # Tiles of windows may reach beyond the last one.
        self.starts: Array = np.zeros(together * rows * across + _TALL, np.int64)
        inner = [
            np.arange(many) * axis.stride * step
            for many, axis, step in zip((rows, *windows[1:]), axes, self._steps, strict=True)
        ]
        self.starts[:-_TALL] = _sums([np.arange(together) * depth, *inner])
        self._size = together * depth + _TALL
        self.is_padded = bool((self.source < 0).any()) or self.segments[:, 2].sum() != extent
        self.numbers = (
            *(images, prod(x[1:]), prod(x[2:]), extent),
            *(windows[0], first.stride, first.reach, across, together, rows),
        )

    def band(self) -> Array:
        """Gives memory for one band. It is valid until this thread asks for the next one."""
        return _memory.take(self._size)

    def taps(self, axes: Sequence[Axis]) -> list[int]:
        """Gives the places in a band of the taps of its first window, in C order."""
        along = [
            np.arange(axis.kernel) * axis.dilation * step
            for axis, step in zip(axes, self._steps, strict=True)
        ]
        places: list[int] = _sums(along).tolist()
        return places


def _rows(axis: Axis, extent: int, across: int) -> int:
    """Gives the number of rows of windows that a band holds."""
    least = -(-_TALL // max(1, across))
    if not extent:
        return least
    fitting = (_BAND // extent - axis.reach) // axis.stride + 1
    rows = max(least, min(fitting, _WINDOWS // max(1, across)))
    return rows // least * least


def _elements(axis: Axis, size: int, extent: int) -> Array:
    """Gives for each spot that windows cover the element that stands there, or −1."""
    spot = np.arange(extent) - axis.begin
    element = spot // axis.spacing
    stands = (spot % axis.spacing == 0) & (element >= 0) & (element < size)
    return np.where(stands, element, -1)


def _segments(pixels: Sequence[Array], sizes: Sequence[int], channels: int) -> Array:
    """Gives the runs to copy from an image's row into a padded row of a band: [·, 3], each the
    place in the padded row, the place in the image's row, and how many numbers."""
    index = np.zeros(1, np.int64)
    for along, size in zip(pixels, sizes, strict=True):
        joined = index[:, None] * size + along
        index = np.where((index[:, None] >= 0) & (along >= 0), joined, -1).reshape(-1)
    before = np.r_[-1, index[:-1]]
    begins = (index >= 0) & ((before < 0) | (before != index - 1))
    into = np.flatnonzero(begins)
    run = np.cumsum(begins)[index >= 0] - 1
    lengths = np.bincount(run, minlength=into.size)
    return np.stack([into, index[into], lengths], axis=1).astype(np.int64) * channels


def _sums(parts: Sequence[Array]) -> Array:
    """Gives all sums that take one number from each part, in C order."""
    total = np.zeros(1, np.int64)
    for part in parts:
        total = (total[:, None] + part).reshape(-1)
    return total
