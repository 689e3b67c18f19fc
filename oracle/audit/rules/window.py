"""Ops on windows of an image: convolutions and pools."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from oracle.audit.numbers import Element, Result, dot
from oracle.audit.rules.node import Ops, Primitive, Read, flat, unravelled
from oracle.audit.rules.reduce import extreme, mean


@dataclass(frozen=True, slots=True)
class Axis:
    """How windows lie along one axis. `last` is a CONV's spacing, or a pool's overhang."""

    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    last: int

    def spots(self, window: int) -> range:
        """Gives the spots on which a window's taps stand: a hundred million, if a publisher likes,
        of which all but a few are padding."""
        first = window * self.stride - self.begin
        return range(first, first + self.kernel * self.dilation, self.dilation)

    def taps(self, window: int, size: int, spacing: int) -> list[tuple[int, int]]:
        """Gives (tap, element) for each tap of a window that stands on an element."""
        return [
            (tap, spot // spacing)
            for tap, spot in enumerate(self.spots(window))
            if spot % spacing == 0 and 0 <= spot // spacing < size
        ]


def _axes(node: Primitive) -> list[Axis]:
    numbers = node.attributes[1:]
    return [Axis(*numbers[at : at + 6]) for at in range(0, len(numbers), 6)]


def _conv(node: Primitive, element: int, read: Read) -> Result:
    x, w = node.operands[:2]
    group, (outputs, *kernel, channels) = node.attributes[0], w.shape
    axes = _axes(node)
    n, *window, output = unravelled(node.output.shape, element)
    row = read(1, output * prod(kernel) * channels, prod(kernel) * channels)
    bias = read(2, output, 1) if len(node.operands) == 3 else ()
    first = output // (outputs // group) * channels
    along = [
        axis.taps(at, size, axis.last)
        for axis, at, size in zip(axes, window, x.shape[1:-1], strict=True)
    ]
    # Neighbours in the image are read as one run where a pixel is read as a whole.
    joins = group == 1 and axes[-1].dilation == axes[-1].last
    pairs: list[tuple[Element, Element]] = [(value, 1) for value in bias]
    for taps in _runs(along, joins):
        place = (n, *(spot for _, spot in taps[0]), first)
        found = read(0, flat(x.shape, place), len(taps) * channels)
        for at, tap in enumerate(taps):
            weights = flat(tuple(kernel), [number for number, _ in tap]) * channels
            for channel in range(channels):
                pairs.append((found[at * channels + channel], row[weights + channel]))
    return dot(pairs, node.output.dtype)


def _max_pool(node: Primitive, element: int, read: Read) -> Result:
    return extreme(_pooled(node, element, read), node.output.dtype, largest=True)


def _average_pool(node: Primitive, element: int, read: Read) -> Result:
    values = _pooled(node, element, read)
    count = len(values)
    if node.attributes[0]:
        _, *window, _ = unravelled(node.output.shape, element)
        sizes = node.operands[0].shape[1:-1]
        count = prod(
            sum(spot < size + axis.end for spot in axis.spots(at))
            for axis, at, size in zip(_axes(node), window, sizes, strict=True)
        )
    return mean(values, count)


def _pooled(node: Primitive, element: int, read: Read) -> list[Element]:
    """Reads the elements on which the taps of a pool's window stand."""
    shape = node.operands[0].shape
    n, *window, channel = unravelled(node.output.shape, element)
    axes = _axes(node)
    along = [
        axis.taps(at, size, 1) for axis, at, size in zip(axes, window, shape[1:-1], strict=True)
    ]
    joins = shape[-1] == 1 and axes[-1].dilation == 1
    found: list[Element] = []
    for taps in _runs(along, joins):
        place = (n, *(spot for _, spot in taps[0]), channel)
        found += read(0, flat(shape, place), len(taps))
    return found


def _runs(
    along: Sequence[Sequence[tuple[int, int]]], joins: bool
) -> Iterator[Sequence[tuple[tuple[int, int], ...]]]:
    """Yields the taps of a window in C order, grouped by the runs in which they are read."""
    *outer, last = along
    for before in product(*outer):
        taps = [(*before, tap) for tap in last]
        if joins and taps:
            yield taps
        else:
            yield from ([tap] for tap in taps)


OPS: Ops = {
    0x0600: ("CONV", _conv),
    0x0601: ("MAX_POOL", _max_pool),
    0x0602: ("AVERAGE_POOL", _average_pool),
}
