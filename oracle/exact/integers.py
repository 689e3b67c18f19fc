"""Exact products of integers, computed in floating point where that is exact."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.exact.patches import Axis, each_tap, padded, windowed
from oracle.tensor import Array


class Factor:
    """Keeps integers, their largest magnitude, and copies in each dtype that was asked for."""

    def __init__(self, integers: Array):
        self._integers = integers
        self.largest = _largest(integers)
        self._made: dict[Any, Array] = {}

    def precise(self, dtype: Any) -> Array:
        if dtype not in self._made:
            self._made[dtype] = self._integers.astype(dtype)
        return self._made[dtype]


def integer_product(known: Array | None) -> Callable[[Array, Array], Array]:
    """Makes the kernel of a [*, M, K] · b [*, N, K]ᵀ, wrapped to their dtype. `known` is b where b
    is a constant."""
    known_factor = None if known is None else Factor(known)

    def kernel(a: Array, b: Array) -> Array:
        factor = known_factor or Factor(b)
        precise = _precise(_largest(a), factor.largest, a.shape[-1])
        product = np.matmul(a.astype(precise), np.swapaxes(factor.precise(precise), -1, -2))
        return _wrapped(product, a.dtype)

    return kernel


def integer_convolution(
    group: int, axes: Sequence[Axis], output: tuple[int, ...], known: Array | None
) -> Callable[..., Array]:
    """Makes CONV's kernel for an image [N, *size, C], weights [O, *kernel, C/group] and a bias [O].
    `known` are the weights where they are constants."""
    windows = output[1:-1]
    known_factor = None if known is None else Factor(known)

    def kernel(x: Array, w: Array, bias: Array | None = None) -> Array:
        factor = known_factor or Factor(w)
        precise = _precise(_largest(x), factor.largest, w[0].size)
        image = padded(x.astype(precise), axes, windows, 0)
        weights = factor.precise(precise).reshape(len(w), -1)
        if w.shape[-1] == 1 and len(w) == group:
            views = each_tap(image, axes, windows)
            sums = sum(view * weights[:, tap] for tap, view in enumerate(views))
        else:
            sums = _by_groups(windowed(image, axes, windows), weights, group, output)
        out = _wrapped(np.asarray(sums), x.dtype)
        return out if bias is None else out + bias

    return kernel


def _by_groups(patches: Array, w: Array, group: int, output: tuple[int, ...]) -> Array:
    channels, outputs = patches.shape[-1] // group, output[-1] // group
    sums = np.empty(output, patches.dtype)
    for n in range(output[0]):
        for g in range(group):
            some = patches[n, ..., g * channels : (g + 1) * channels].reshape(-1, w.shape[1])
            mine = slice(g * outputs, (g + 1) * outputs)
            sums[n, ..., mine] = (some @ w[mine].T).reshape(*output[1:-1], outputs)
    return sums


def _precise(a: int, b: int, terms: int) -> Any:
    """Gives the dtype that holds every sum of `terms` products of at most a·b each. int64 always
    serves, because it is exact modulo 2^64."""
    size = a * b * terms
    return np.float32 if size < 1 << 24 else np.float64 if size < 1 << 53 else np.int64


def _wrapped(exact: Array, dtype: Any) -> Array:
    if exact.dtype != np.int64:
        exact = exact.astype(np.int64)
    return exact.astype(dtype, copy=False)


def _largest(x: Array) -> int:
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))
