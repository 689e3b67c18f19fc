"""Exact products of integers, by floating point where that is exact."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.exact.patches import Axis, each_tap, padded, windowed
from oracle.tensor import Array


def integer_product(a: Array, b: Array) -> Array:
    """a [*, M, K] · b [*, N, K]ᵀ, wrapped to their dtype."""
    precise = _precise(a, b, a.shape[-1])
    product = np.matmul(a.astype(precise), np.swapaxes(b, -1, -2).astype(precise))
    return _wrapped(product, a.dtype)


def integer_convolution(
    group: int, axes: Sequence[Axis], output: tuple[int, ...]
) -> Callable[..., Array]:
    """CONV's kernel: an image [N, *size, C], weights [O, *kernel, C/group], a bias [O]."""
    windows = output[1:-1]

    def kernel(x: Array, w: Array, bias: Array | None = None) -> Array:
        precise = _precise(x, w, w[0].size)
        image = padded(x.astype(precise), axes, windows, 0)
        weights = w.reshape(len(w), -1).astype(precise)
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


def _precise(a: Array, b: Array, terms: int) -> Any:
    """The dtype that holds every sum of so many products: int64 holds it modulo 2^64."""
    size = _largest(a) * _largest(b) * terms
    return np.float32 if size < 1 << 24 else np.float64 if size < 1 << 53 else np.int64


def _wrapped(exact: Array, dtype: Any) -> Array:
    if exact.dtype != np.int64:
        exact = exact.astype(np.int64)
    return exact.astype(dtype, copy=False)


def _largest(x: Array) -> int:
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))
