"""Functions of torch one by one or a few at a time, by both exporters: the ops of networks that
nobody has thought of."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from scripts.survey.training.layers import OPSETS, Of, exported
from scripts.survey.training.made import Recipe

ROW = (1, 12)
MATRIX = (6, 5)
CUBE = (2, 6, 5)
IMAGE = (1, 3, 12, 14)
VOLUME = (1, 2, 6, 8, 10)
FEW = ("int64", 5, (1, 4))


def recipes() -> Iterator[Recipe]:
    """Yields every function, once by each exporter. Many are beyond the older one."""
    for name, (what, *inputs) in FUNCTIONS.items():
        for exporter, opset in OPSETS.items():
            by = f"torch.onnx.export, {'dynamo' if exporter == 'dynamo' else 'TorchScript'}"
            made = partial(exported, partial(_of, what), tuple(inputs), exporter == "dynamo", opset)
            yield Recipe(f"functions-{exporter}/{name}", by, made)


def _of(what: Any) -> nn.Module:
    network: nn.Module = what() if isinstance(what, type | partial) else Of(_without_parts(what))
    return network


def _without_parts(what: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _, *inputs: what(*inputs)


def _pairwise(x: torch.Tensor) -> torch.Tensor:
    return F.pairwise_distance(x, x.flip(0) * 2)


FUNCTIONS: dict[str, tuple[Any, ...]] = {
    # activations
    "celu": (lambda x: F.celu(x, 1.5), ROW),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 0.7), ROW),
    "hardsigmoid": (F.hardsigmoid, ROW),
    "hardshrink": (F.hardshrink, ROW),
    "softshrink": (F.softshrink, ROW),
    "tanhshrink": (F.tanhshrink, ROW),
    "softsign": (F.softsign, ROW),
    "log-sigmoid": (F.logsigmoid, ROW),
    "threshold": (lambda x: F.threshold(x, 0.1, 20.0), ROW),
    "relu6": (F.relu6, ROW),
    "rrelu": (F.rrelu, ROW),
    "gelu-tanh": (lambda x: F.gelu(x, approximate="tanh"), ROW),
    "gumbel-softmax": (lambda x: F.gumbel_softmax(x, hard=True), ROW),
    "softmax-2d": (lambda x: F.softmax(x, 1), IMAGE),
    # arithmetic
    "add-scaled": (lambda x: torch.addcmul(x, x, x + 1, value=0.5), ROW),
    "divided-down": (lambda x: torch.div(x, 0.3, rounding_mode="floor"), ROW),
    "truncated": (lambda x: torch.div(x, 0.3, rounding_mode="trunc"), ROW),
    "remainder": (lambda x: torch.remainder(x, 0.7), ROW),
    "fmod": (lambda x: torch.fmod(x, 0.7), ROW),
    "fraction": (torch.frac, ROW),
    "rounded-decimals": (lambda x: torch.round(x, decimals=2), ROW),
    "reciprocal-root": (lambda x: torch.rsqrt(x.abs() + 0.1), ROW),
    "power": (lambda x: (x.abs().pow(1.7), x.pow(3), 2.0**x), ROW),
    "logarithms": (lambda x: (x.abs().log2(), x.abs().log10(), x.abs().log1p()), ROW),
    "exponentials": (lambda x: (torch.exp2(x), torch.expm1(x)), ROW),
    "angle": (lambda x: torch.atan2(x, x.flip(1)), ROW),
    "hyperbolic": (lambda x: (x.asinh(), (x / 9).atanh(), x.tanh()), ROW),
    "trigonometric": (lambda x: (x.sin(), x.tan(), (x / 9).acos()), ROW),
    "log-add-exp": (lambda x: torch.logaddexp(x, x.flip(1)), ROW),
    "x-log-y": (lambda x: torch.xlogy(x, x.abs()), ROW),
    "error-function": (lambda x: (torch.erf(x), torch.erfc(x)), ROW),
    "lerp": (lambda x: torch.lerp(x, x.flip(1), 0.3), ROW),
    "sign": (lambda x: x.sign(), ROW),
    "heaviside": (lambda x: torch.heaviside(x, torch.tensor(0.5)), ROW),
    "clamped": (lambda x: (x.clamp(min=0.1), torch.clamp(x, x - 0.1, x * 2)), ROW),
    # reductions
    "minima": (lambda x: (x.amin(-1), x.min(1)[1], x.argmax(1), x.max()), CUBE),
    "deviations": (lambda x: torch.std_mean(x, 1), CUBE),
    "norms": (lambda x: (x.norm(1, -1), x.norm(3, -1), x.norm(float("inf"), -1)), CUBE),
    "normalized": (lambda x: F.normalize(x, dim=1), CUBE),
    "any-all": (lambda x: ((x > 0).any(1), (x > 0).all(-1), (x > 0).sum()), CUBE),
    "count-nonzero": (lambda x: torch.count_nonzero(x > 0, 1), CUBE),
    "quantile": (lambda x: torch.quantile(x, 0.3, 1), MATRIX),
    "nan-sums": (lambda x: (torch.nansum(x.log(), 1), torch.nanmean(x.log(), 1)), MATRIX),
    "log-cumulative": (lambda x: torch.logcumsumexp(x, 1), MATRIX),
    "differences": (lambda x: torch.diff(x, dim=1), MATRIX),
    "pairwise": (_pairwise, MATRIX),
    "cosine": (lambda x: F.cosine_similarity(x, x.flip(0)), MATRIX),
    "trace": (lambda x: (torch.trace(x), torch.diagonal(x)), MATRIX),
    "histogram": (lambda x: torch.bucketize(x, torch.linspace(-1, 1, 5)), ROW),
    # products
    "outer": (lambda x: torch.outer(x[0], x[0]), ROW),
    "kronecker": (lambda x: torch.kron(x, x), MATRIX),
    "cross": (lambda x: torch.linalg.cross(x[:, :3], x[:, 2:5]), MATRIX),
    "batched": (lambda x: torch.baddbmm(x @ x.mT, x, x.mT, beta=0.3, alpha=2), CUBE),
    "tensordot": (lambda x: torch.tensordot(x, x, ([2], [2])), CUBE),
    "bilinear": (partial(nn.Bilinear, 5, 5, 3), MATRIX, MATRIX),
    "determinant": (lambda x: torch.det(x[:, :5, :5]), CUBE),
    "matrix-power": (lambda x: torch.matrix_power(x[:, :5, :5], 3), CUBE),
    # places
    "taken": (lambda x, at: torch.take_along_dim(x, at, 1), (1, 5), FEW),
    "selected": (lambda x, at: x.index_select(1, at[0]), (1, 5), FEW),
    "advanced": (lambda x, at: (x[:, at[0]], x[0, at[0], :2]), CUBE, FEW),
    "put": (lambda x, at: x.index_fill(1, at[0], 7.0), (1, 5), FEW),
    "scattered-sum": (lambda x, at: x.scatter_reduce(1, at, x[:, :4], "sum"), (1, 5), FEW),
    "scattered-mean": (lambda x, at: x.scatter_reduce(1, at, x[:, :4], "mean"), (1, 5), FEW),
    "scattered-product": (lambda x, at: x.scatter_reduce(1, at, x[:, :4], "prod"), (1, 5), FEW),
    "masked-scatter": (lambda x: torch.where(x > 0, x.flip(1), x), ROW),
    "masked-select": (lambda x: torch.masked_select(x, x > 0), ROW),
    "unique": (lambda x: torch.unique((x * 2).round()), ROW),
    "meshgrid": (lambda x: x + torch.meshgrid(torch.arange(6.0), torch.ones(5))[0], CUBE),
    "triangles": (lambda x: (x.tril(1), x.triu(-1)), CUBE),
    "strided": (lambda x: (x[:, ::2, 1:-1], x[..., -1], x.narrow(1, 1, 3)), CUBE),
    "unfolded": (lambda x: x.unfold(1, 3, 2), CUBE),
    "repeated": (lambda x: (x.repeat(2, 1, 3), x.repeat_interleave(3, 1)), CUBE),
    "split": (lambda x: (*x.split([1, 3, 2], 1), *x.chunk(2, 2), *x.unbind(0)), CUBE),
    "stacked": (lambda x: (torch.stack([x, x * 2], 1), torch.hstack([x, x])), CUBE),
    "rotated": (lambda x: (torch.rot90(x, 1, (1, 2)), x.roll((1, 2), (1, 2))), CUBE),
    "moved": (lambda x: (x.movedim(0, 2), x.permute(2, 0, 1), x.swapaxes(0, 1)), CUBE),
    "one-hot": (lambda at: F.one_hot(at, 5).sum(1), FEW),
    "embedded": (partial(nn.Embedding, 5, 3), FEW),
    "embedding-bag": (partial(nn.EmbeddingBag, 5, 3, mode="sum"), FEW),
    # integers
    "shifted": (lambda at: (at << 2, at >> 1, at & 3, at | 4, at ^ 1, ~at), FEW),
    "modulo": (lambda at: (at % 3, -at // 2, at.float().to(torch.int32)), FEW),
    "bytes": (lambda at: (at + 250).to(torch.uint8) + 10, FEW),
    "shorts": (lambda at: (at * 9000).to(torch.int16), FEW),
    # images
    "pad-modes": (lambda x: (F.pad(x, (1, 2), "reflect"), F.pad(x, (2, 1), "replicate")), CUBE),
    "pad-circular": (lambda x: F.pad(x, (1, 2), "circular"), CUBE),
    "nearest": (lambda x: F.interpolate(x, scale_factor=1.7, mode="nearest"), IMAGE),
    "nearest-exact": (lambda x: F.interpolate(x, size=(7, 9), mode="nearest-exact"), IMAGE),
    "bilinear-corners": (
        lambda x: F.interpolate(x, size=(7, 29), mode="bilinear", align_corners=True),
        IMAGE,
    ),
    "bicubic-down": (lambda x: F.interpolate(x, size=(5, 9), mode="bicubic"), IMAGE),
    "trilinear": (lambda x: F.interpolate(x, scale_factor=2.0, mode="trilinear"), VOLUME),
    "area": (lambda x: F.interpolate(x, size=(4, 7), mode="area"), IMAGE),
    "grid-cubic": (
        lambda x, grid: F.grid_sample(x, grid, mode="bicubic", align_corners=True),
        IMAGE,
        (1, 5, 5, 2),
    ),
    "grid-nearest": (
        lambda x, grid: F.grid_sample(x, grid, mode="nearest", padding_mode="border"),
        IMAGE,
        (1, 5, 5, 2),
    ),
    "affine-grid": (
        lambda theta: F.affine_grid(theta, [1, 3, 5, 6], align_corners=False),
        (1, 2, 3),
    ),
    "average-pool-3d": (partial(nn.AvgPool3d, 2, 2, 1, count_include_pad=False), VOLUME),
    "max-pool-dilated": (partial(nn.MaxPool2d, 3, 1, 1, 2), IMAGE),
    "max-unpool": (
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
        IMAGE,
    ),
    "lp-pool": (lambda x: F.lp_pool2d(x.abs(), 2, 2), IMAGE),
    "lp-pool-3": (lambda x: F.lp_pool2d(x.abs(), 3, 2), IMAGE),
    "fractional-pool": (lambda x: F.adaptive_avg_pool2d(x, (5, 3)), IMAGE),
    "adaptive-max": (lambda x: F.adaptive_max_pool2d(x, (4, 7)), IMAGE),
    "convolution-3d-transposed": (partial(nn.ConvTranspose3d, 2, 3, 3, 2, 1, 1), VOLUME),
    "convolution-grouped": (partial(nn.Conv2d, 3, 6, (3, 2), (2, 1), (1, 0), 2, 3), IMAGE),
    "folded": (lambda x: F.fold(F.unfold(x, 2, stride=2), (12, 14), 2, stride=2), IMAGE),
    "pixel-unshuffle": (lambda x: F.pixel_unshuffle(x, 2), IMAGE),
    "batch-norm-1d": (partial(nn.BatchNorm1d, 5), MATRIX),
    "local-norm": (lambda x: x / (F.avg_pool2d(x**2, 3, 1, 1) + 1).sqrt(), IMAGE),
    # recurrence and attention
    "lstm-projected": (partial(nn.LSTM, 5, 6, proj_size=3), CUBE),
    "lstm-cell": (partial(nn.LSTMCell, 5, 4), MATRIX),
    "gru-two-layers": (partial(nn.GRU, 5, 4, 2, bidirectional=True), CUBE),
    "attention": (
        partial(nn.MultiheadAttention, 6, 2, batch_first=True),
        *((1, 4, 6), (1, 5, 6), (1, 5, 6)),
    ),
    "decoder-layer": (
        partial(nn.TransformerDecoderLayer, 6, 2, 8, batch_first=True),
        (1, 4, 6),
        (1, 5, 6),
    ),
    "grouped-query": (
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        (1, 4, 5, 6),
        (1, 2, 5, 6),
    ),
    # losses, which some files end with
    "losses": (lambda x: (F.mse_loss(x, x * 2), F.smooth_l1_loss(x, x * 2)), ROW),
    "cross-entropy": (lambda x, at: F.cross_entropy(x, at[0]), (4, 5), FEW),
    "divergence": (lambda x: F.kl_div(x.log_softmax(1), x.softmax(1), reduction="batchmean"), ROW),
    # complex numbers
    "complex": (lambda x: torch.view_as_real(torch.complex(x, x.flip(1)) * 1j).abs(), ROW),
    "fft-inverse": (lambda x: torch.fft.irfft(torch.fft.rfft(x)), ROW),
    "fft-2d": (lambda x: torch.view_as_real(torch.fft.fft2(x)), IMAGE),
}  # fmt: skip
