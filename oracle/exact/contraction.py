"""Windows of images, or rows of matrices, times prepared weights: plans for `kernels`.

Products of float32 are exact in float64. However a sum of n terms is ordered or fused, its error is
at most γ_{n−1}·Σ|terms| (Higham, *Accuracy and Stability*, 4.2). Terms are summed panel by panel:
each goes through at most PANEL − 1 additions in its panel and one for each further panel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle.exact.bands import Bands
from oracle.exact.patches import Axis
from oracle.exact.sums import UNIT
from oracle.tensor import Array

PANEL = 256


class Weights:
    """Columns [groups, outputs, terms] as the kernel reads them, and their lengths."""

    def __init__(self, w: Array):
        from oracle.exact.kernels.contraction import (  # numba takes its time to load
            pack,
            packed_size,
        )

        self.packed: Array = np.empty(packed_size(*w.shape), np.float32)
        norms = np.empty(w.shape[:2])
        # Constants are read-only, in pages of a file: what packs them is compiled for that as well,
        # since a copy would take as much memory again.
        w = np.ascontiguousarray(w)
        pack(w if w.flags.aligned else w.copy(), self.packed, norms)
        self.norms = norms.reshape(-1)
        self.is_finite = bool(np.isfinite(self.norms).all())


def flat(x: Array) -> Array:
    """Lays an array out in the one way that the kernels are compiled for."""
    x = np.ascontiguousarray(x).reshape(-1)
    return x if x.flags.writeable and x.flags.aligned else x.copy()


@dataclass(frozen=True, slots=True)
class Bias:
    """float64, and the steps from one image, window and column to the next."""

    values: Array
    image: int = 0
    window: int = 0
    column: int = 0


NO_BIAS = Bias(np.zeros(1))


class Contraction:
    """x [images, *size, groups·channels] and windows over it: each window times all columns of each
    group gives [images, *windows, groups·outputs]."""

    def __init__(
        self,
        x: tuple[int, ...],
        axes: Sequence[Axis],
        windows: Sequence[int],
        groups: int,
        outputs: int,
        own_weights: bool = False,
    ):
        """Plans the sums over the windows of an image of shape `x`. With `own_weights` each image
        has weights of its own."""
        from oracle.exact.kernels.contraction import contract

        self._contract = contract
        channels = x[-1] // groups
        self._shape = (x[0], *windows, groups * outputs)
        self._bands = bands = Bands(x, axes, windows, not own_weights)
        taps = bands.taps(axes)
        terms = len(taps) * channels
        panels = -(-terms // PANEL) if terms > 2 * PANEL else 1
        self._pieces, self._panels = _cut(taps, channels, max(1, -(-terms // panels)))
        # A term goes through `panel + panels` additions or fewer, with the bias's. The rest of the
        # 16 covers the rounding of s ± error, at most 2·(Σ|terms| + |bias|) units; the factor
        # covers that of the norms, K + 3 units relatively, and of the products in the bound. There
        # are rows that need the additions, but none that needs all of the 16 or of the factor.
        self._unit = (-(-terms // panels) + panels + 16) * UNIT * (1 + 2.0**-10)
        self._numbers = (*bands.numbers, groups, channels, outputs, int(own_weights))

    def rounded(self, x: Array, weights: Weights, bias: Bias = NO_BIAS) -> tuple[Array, int]:
        """Gives the exact sums rounded to float32, and how many are left OPEN."""
        bands = self._bands
        out = np.empty(self._shape, np.float32)
        left = self._contract(
            flat(x),
            weights.packed,
            weights.norms,
            self._unit,
            bias.values,
            (*self._numbers, bias.image, bias.window, bias.column),
            weights.is_finite or not bands.is_padded,
            bands.source,
            bands.segments,
            bands.starts,
            self._pieces,
            self._panels,
            bands.band(),
            out.reshape(-1),
        )
        return out, left


def _cut(taps: Sequence[int], channels: int, panel: int) -> tuple[Array, Array]:
    """Cuts the terms into pieces [·, 2] of neighbours, (start, length), and ends a piece wherever a
    panel of `panel` terms ends. Gives also for each panel its first piece, the place after its last
    one, and its first term."""
    runs: list[list[int]] = []
    for at in taps:
        if runs and sum(runs[-1]) == at:
            runs[-1][1] += channels
        else:
            runs.append([at, channels])
    pieces: list[tuple[int, int]] = []
    panels = []
    first, term, room = 0, 0, panel
    for start, length in runs:
        while length:
            some = min(length, room)
            pieces.append((start, some))
            start, length, room = start + some, length - some, room - some
            if room == 0:
                panels.append((first, len(pieces), term))
                first, term, room = len(pieces), term + panel, panel
    if first < len(pieces):
        panels.append((first, len(pieces), term))
    return np.array(pieces, np.int64).reshape(-1, 2), np.array(panels, np.int64).reshape(-1, 3)
