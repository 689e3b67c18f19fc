"""Convolutions in float64, each element with a bound that decides its rounding nearly always.

As for DOT, the error of K + 1 terms is at most γ_{K+1}·Σ|terms|. Working out a bound for each
element would cost as much as the sums do; so a coarse one serves a whole step of the work, and only
where that leaves many elements open, each has its own.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Protocol

import numpy as np

from oracle.exact.patches import Axis, each_tap, spots, windowed
from oracle.exact.sums import UNIT
from oracle.tensor import Array

_CHUNK = 1 << 17
"""A step works on so many float64, which a core's cache holds."""
_MANY = 1 / 32
_FEW_TAPS = 32
_MOST_WEIGHTS = 1 << 23

Step = tuple[slice, slice]


class Convolution(Protocol):
    """Made once for a node's weights."""

    def __call__(self, image: Array, bias: Array | None, out: Array) -> Array:
        """Writes the rounded elements to `out`; gives the flat places of those left undecided.
        `image` is padded float64, `bias` float64."""
        ...


def convolution(group: int, axes: Sequence[Axis], output: tuple[int, ...], w: Array) -> Convolution:
    """For weights [O, *kernel, C/group] and an output [N, *windows, O]."""
    depthwise = w.shape[-1] == 1 and group > 1 and w.size * output[-2] <= _MOST_WEIGHTS
    return (Depthwise if depthwise else Gemm)(group, axes, output, w)


def _unit(w: Array) -> float:
    """Covers γ_{K+1}, the norms' own rounding, and that of sum ± error."""
    return (prod(w.shape[1:]) + 16) * UNIT * (1 + 2.0**-10)


def _steps(output: tuple[int, ...], per_window: int) -> list[Step]:
    """Images and, where one alone is too large, rows of windows; each step is one run of memory."""
    images, rows = output[:2]
    row = prod(output[2:-1]) * per_window
    if rows * row <= _CHUNK:
        many = _CHUNK // (rows * row)
        return [(slice(n, n + many), slice(0, rows)) for n in range(0, images, many)]
    few = max(1, _CHUNK // row)
    return [
        (slice(n, n + 1), slice(at, at + few)) for n in range(images) for at in range(0, rows, few)
    ]


def _first(step: Step, output: tuple[int, ...]) -> int:
    """How many windows come before the step."""
    return int((step[0].start * output[1] + step[1].start) * prod(output[2:-1]))


def _rounded(s: Array, error: Array, out: Array, finite: bool) -> Array:
    """Writes float32 of `s` to `out`; gives the flat places that stay open. As `sums.decided`, but
    moves less memory. With `finite` weights no zero of the padding makes a NaN, so a sum is NaN
    only where a term is or both infinities are, and infinite only where a term is."""
    np.subtract(s, error, out=out, casting="same_kind")
    high = np.empty(out.shape, np.float32)
    np.add(s, error, out=high, casting="same_kind")
    undecided = np.flatnonzero(out != high)
    out += np.float32(0)
    if finite and undecided.size:
        sums = s.reshape(-1)[undecided]
        special = ~np.isfinite(sums)
        if special.any():
            out[np.unravel_index(undecided[special], out.shape)] = sums[special]
            undecided = undecided[~special]
    return undecided


def _joined(places: Sequence[Array]) -> Array:
    return np.concatenate(places) if places else np.empty(0, np.int64)


class Gemm:
    """Windows as rows of a matrix, times the weights of a group."""

    def __init__(self, group: int, axes: Sequence[Axis], output: tuple[int, ...], w: Array):
        self._group, self._axes, self._output = group, axes, output
        self._w = w.astype(np.float64).reshape(group, w.shape[0] // group, -1)
        self._unit, self._finite = _unit(w), bool(np.isfinite(w).all())
        self._norms = self._unit * np.sqrt(np.einsum("gok,gok->go", self._w, self._w))
        self._taps, self._channels = prod(w.shape[1:-1]), w.shape[-1]
        # Copied in runs along the windows where those are longer than runs along the taps.
        run = self._channels * (w.shape[-2] if axes[-1].dilation == 1 else 1)
        self._along_windows = run < min(output[-2], 32) and self._taps > 1
        self._steps = _steps(output, self._w.shape[2] + 2 * self._w.shape[1])

    def __call__(self, image: Array, bias: Array | None, out: Array) -> Array:
        views = windowed(image, self._axes, self._output[1:-1])
        squares = self._squares(image)
        undecided = []
        for step, g in product(self._steps, range(self._group)):
            rows = self._rows(views[step][..., g * self._channels : (g + 1) * self._channels])
            square = (
                np.einsum("pk,pk->p", rows, rows)
                if squares is None
                else squares[step][..., g].reshape(-1)
            )
            mine = slice(g * self._w.shape[1], (g + 1) * self._w.shape[1])
            part = out[step][..., mine]
            s = rows @ self._w[g].T
            size: Array | float = 0.0
            if bias is not None:
                s += bias[mine]
                size = self._unit * np.abs(bias[mine])
            s = s.reshape(part.shape)
            places = _rounded(s, np.sqrt(square.max()) * self._norms[g] + size, part, self._finite)
            if len(places) > _MANY * s.size:
                fine = np.sqrt(square)[:, None] * self._norms[g] + size
                places = _rounded(s, fine.reshape(part.shape), part, self._finite)
            if len(places):
                window, channel = np.divmod(places, self._w.shape[1])
                window += _first(step, self._output)
                undecided.append(window * self._output[-1] + channel + mine.start)
        return _joined(undecided)

    def _rows(self, view: Array) -> Array:
        if not self._along_windows:
            return view.reshape(-1, self._w.shape[2])
        split = len(self._axes) + 1
        order = (*range(split, view.ndim), *range(split))
        return view.transpose(order).reshape(self._w.shape[2], -1).T

    def _squares(self, image: Array) -> Array | None:
        """|row|² as [N, *windows, group]; None where the rows themselves tell it sooner."""
        if self._taps > _FEW_TAPS:
            return None
        grouped = image.reshape(*image.shape[:-1], self._group, -1)
        squares = np.einsum("...c,...c->...", grouped, grouped)
        first, *rest = each_tap(squares, self._axes, self._output[1:-1])
        total: Array = first.copy() if rest else first
        for tap in rest:
            total += tap
        return total


class Depthwise:
    """One channel a group: taps are multiplied and added up, whole rows of windows at a time."""

    def __init__(self, group: int, axes: Sequence[Axis], output: tuple[int, ...], w: Array):
        if len(axes) == 1:
            axes, output = (Axis(1, 1, 1, 0, 0), *axes), (output[0], 1, *output[1:])
        self._axes, self._output, self._channels = axes, output, group
        self._many = output[-1] // group  # outputs of a channel
        self._unit, self._finite = _unit(w), bool(np.isfinite(w).all())
        w64 = w.astype(np.float64).reshape(group, self._many, -1).transpose(1, 2, 0)
        self._w = np.tile(w64, (1, 1, output[-2]))  # [many, taps, windows of a row · channels]
        self._sizes = self._unit * np.abs(w64).sum(axis=1)
        self._steps = _steps(output, 4 * group)

    def __call__(self, image: Array, bias: Array | None, out: Array) -> Array:
        out = out.reshape(self._output)
        taps = self._taps(image.reshape(image.shape[0], -1, *image.shape[-len(self._axes) :]))
        flat = image.reshape(-1, self._channels)
        largest = np.maximum(flat.max(axis=0), -flat.min(axis=0))
        undecided = []
        for j in range(self._many):
            w = self._w[j]
            mine = slice(j, None, self._many)
            added = np.zeros(self._channels) if bias is None else bias[mine]
            coarse = self._tiled(largest * self._sizes[j] + self._unit * np.abs(added))
            added = self._tiled(added)
            for step in self._steps:
                views = [tap[step] for tap in taps]
                s = _weighted(views, w)
                if bias is not None:
                    s += added
                part = np.empty(s.shape, np.float32)
                places = _rounded(s, coarse, part, self._finite)
                if len(places) > _MANY * s.size:
                    sizes = _weighted([np.abs(view) for view in views], np.abs(w))
                    fine = self._unit * (sizes + np.abs(added))
                    places = _rounded(s, fine, part, self._finite)
                target = out[step]
                target[..., mine] = part.reshape(*target.shape[:-1], self._channels)
                if len(places):
                    window, channel = np.divmod(places, self._channels)
                    window += _first(step, self._output)
                    undecided.append(window * self._output[-1] + channel * self._many + j)
        return _joined(undecided)

    def _tiled(self, channels: Array) -> Array:
        return np.tile(channels, self._output[-2])

    def _taps(self, image: Array) -> list[Array]:
        """For each tap a view [N, *windows but the last, windows of a row · channels]."""
        *leading, last = self._axes
        *windows, across = self._output[1:-1]
        # Every stride-th column, from each start: what one tap reads in a row is then one run.
        phases = [
            image[..., at :: last.stride, :].reshape(*image.shape[:-2], -1)
            for at in range(min(last.stride, image.shape[-2]))
        ]
        taps = []
        for *lead, k in product(*(range(axis.kernel) for axis in self._axes)):
            skipped, phase = divmod(k * last.dilation, last.stride)
            start = skipped * self._channels
            run = slice(start, start + across * self._channels)
            rows = tuple(spots(k, a, n) for k, a, n in zip(lead, leading, windows, strict=True))
            taps.append(phases[phase][(slice(None), *rows, run)])
        return taps


def _weighted(views: Sequence[Array], w: Array) -> Array:
    s: Array = views[0] * w[0]
    term = np.empty_like(s)
    for view, weight in zip(views[1:], w[1:], strict=True):
        np.multiply(view, weight, out=term)
        s += term
    return s
