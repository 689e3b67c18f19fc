"""Windows over an image and their elements, for the kernels of `ops/window.py`.

An image is [N, *size, C]. Along an axis of size S, tap k of window i stands at the spot
i·stride − begin + k·dilation; element p of the image is at the spot p·spacing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import as_strided

from oracle.exact.primitive import Outside
from oracle.exact.sums import BLOCK
from oracle.tensor import Array


@dataclass(frozen=True, slots=True)
class Axis:
    """How windows lie along one axis. `begin` and `end` are padding, or what is cut off where they
    are negative. `overhang` lies beyond `end`, and means of a pool do not count it."""

    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    spacing: int = 1
    overhang: int = 0

    @property
    def reach(self) -> int:
        """The spots from a window's first tap to its last, both counted."""
        return (self.kernel - 1) * self.dilation + 1

    def windows(self, size: int) -> int:
        """Gives how many windows fit along an axis of `size`, or raises Outside where none does."""
        extent = (size - 1) * self.spacing + 1 + self.begin + self.end + self.overhang
        if extent < self.reach:
            raise Outside(
                f"a window of {self.reach} does not fit into {extent}, padding included",
                "use a larger input, or fix the padding",
            )
        return (extent - self.reach) // self.stride + 1

    def taps(self, window: int, size: int) -> list[tuple[int, int]]:
        """Gives (tap, element) for each tap of a window that stands on an element."""
        first = window * self.stride - self.begin
        spots = ((tap, first + tap * self.dilation) for tap in range(self.kernel))
        return [
            (tap, spot // self.spacing)
            for tap, spot in spots
            if spot % self.spacing == 0 and 0 <= spot // self.spacing < size
        ]

    def padded_taps(self, window: int, size: int) -> int:
        """Counts the taps of a window that stand on an element or on padding but not on the
        overhang, for a spacing of 1."""
        first = window * self.stride - self.begin
        return sum(first + tap * self.dilation < size + self.end for tap in range(self.kernel))

    def extent(self, windows: int) -> int:
        """Gives the number of spots from the first window's begin to the last window's end."""
        return (windows - 1) * self.stride + self.reach


def padded(x: Array, axes: Sequence[Axis], windows: Sequence[int], fill: float | int) -> Array:
    """Makes an image of all spots that the windows cover: elements where they stand, and `fill`
    elsewhere. It is a view of x where there is no padding around and no space between."""
    extents = [axis.extent(count) for axis, count in zip(axes, windows, strict=True)]
    sizes = x.shape[1:-1]
    if all(
        axis.begin == 0 and axis.spacing == 1 and extent <= size
        for axis, extent, size in zip(axes, extents, sizes, strict=True)
    ):
        return x[(slice(None), *(slice(0, extent) for extent in extents))]
    image = np.full((x.shape[0], *extents, x.shape[-1]), fill, x.dtype)
    spots, elements = [slice(None)], [slice(None)]
    for axis, extent, size in zip(axes, extents, sizes, strict=True):
        first = max(0, -(axis.begin // axis.spacing))
        past = min(size, (extent - 1 - axis.begin) // axis.spacing + 1)
        if past <= first:
            return image
        elements.append(slice(first, past))
        spots.append(
            slice(
                axis.begin + first * axis.spacing,
                axis.begin + (past - 1) * axis.spacing + 1,
                axis.spacing,
            )
        )
    image[tuple(spots)] = x[tuple(elements)]
    return image


def windowed(image: Array, axes: Sequence[Axis], windows: Sequence[int]) -> Array:
    """Gives a view [N, *windows, *kernel, C] of a padded image."""
    batch, *along, channel = image.strides
    steps = [stride * axis.stride for stride, axis in zip(along, axes, strict=True)]
    taps = [stride * axis.dilation for stride, axis in zip(along, axes, strict=True)]
    kernel = [axis.kernel for axis in axes]
    shape = (image.shape[0], *windows, *kernel, image.shape[-1])
    return as_strided(image, shape, (batch, *steps, *taps, channel), writeable=False)


def spots(tap: int, axis: Axis, windows: int) -> slice:
    """Gives the spots of one tap in all windows of a padded image, along one axis."""
    first = tap * axis.dilation
    return slice(first, first + (windows - 1) * axis.stride + 1, axis.stride)


def each_tap(image: Array, axes: Sequence[Axis], windows: Sequence[int]) -> list[Array]:
    """Gives for each tap, in C order, a view [N, *windows, C] of a padded image."""
    return [
        image[(slice(None), *(spots(*one) for one in zip(tap, axes, windows, strict=True)))]
        for tap in product(*(range(axis.kernel) for axis in axes))
    ]


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """Gathers what stands in the windows of single elements of an output [N, *windows, O]."""

    axes: tuple[Axis, ...]
    size: tuple[int, ...]
    """The axes of the image [N, *size, C] that windows move along."""
    output: tuple[int, ...]
    group: int

    def blocks(self, places: Array, terms: int) -> list[Array]:
        """Splits flat places of outputs into blocks that are small enough to bound memory."""
        step = max(1, BLOCK // max(1, terms))
        return [places[at : at + step] for at in range(0, len(places), step)]

    def of(self, x: Array, places: Array, w: Array | None = None) -> Array:
        """Gives float64 [places, taps·channels of a group], the elements times the weights if there
        are any, and 0 where a tap stands on no element."""
        n, *windows, o = np.unravel_index(places, self.output)
        pixel = n.reshape(-1, *[1] * len(self.axes))
        valid = np.ones(pixel.shape, np.bool_)
        for at, (axis, size) in enumerate(zip(self.axes, self.size, strict=True)):
            spot = (windows[at] * axis.stride - axis.begin)[:, None]
            spot = spot + np.arange(axis.kernel) * axis.dilation
            element = spot // axis.spacing
            inside = (spot % axis.spacing == 0) & (element >= 0) & (element < size)
            shape = [len(places), *[1] * len(self.axes)]
            shape[at + 1] = axis.kernel
            pixel = pixel * size + np.where(inside, element, 0).reshape(shape)
            valid = valid & inside.reshape(shape)
        group = (o // (self.output[-1] // self.group)).reshape(-1, *[1] * len(self.axes))
        terms = x.reshape(-1, self.group, x.shape[-1] // self.group)[pixel, group].astype(
            np.float64
        )
        if w is not None:
            terms *= w[o]
        terms[~valid] = 0
        return terms.reshape(len(places), -1)
