"""Networks of torch, by both of its exporters, and of Keras on torch.

They are not trained to any end: their weights are those that they begin with, from a seed.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.survey.training.made import Recipe, Rows

OPSETS = {"script": 17, "dynamo": 18}
# What the other exporter cannot write.
ONLY_SCRIPT = ("cdist",)
ONLY_DYNAMO = ("antialias", "rms-norm", "graph", "spectrum", "stft", "condition", "channel-shuffle")
RUNS = 3

Shape = tuple[int, ...]


class Of(nn.Module):
    """A network whose forward is a function of its parts."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module):
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.what = forward

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.what(self.parts, *inputs)


def recipes() -> Iterator[Recipe]:
    """Yields every network, once by each exporter."""
    for name, make, inputs in _networks():
        for exporter, opset in OPSETS.items():
            if name in (ONLY_DYNAMO if exporter == "script" else ONLY_SCRIPT):
                continue
            by = f"torch.onnx.export, {'dynamo' if exporter == 'dynamo' else 'TorchScript'}"
            made = partial(exported, make, inputs, exporter == "dynamo", opset)
            yield Recipe(f"torch-{exporter}/{name}", by, made)
    for name, build, shape in _of_keras():
        yield Recipe(f"keras/{name}", "Keras on torch, model.export", partial(_kept, build, shape))


def exported(
    make: Callable[[], nn.Module], inputs: tuple[Any, ...], dynamo: bool, opset: int
) -> tuple[bytes, Rows]:
    """Builds a network and exports it, with everything inside the file."""
    torch.manual_seed(0)
    network = make().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() < 2:  # or norms would be 1 and biases 0
                parameter.add_(torch.randn_like(parameter) * 0.1)
    rows = [_rows(each) for each in inputs]
    first = tuple(torch.from_numpy(each[0].copy()) for each in rows)
    file = io.BytesIO()
    if dynamo:
        program = torch.onnx.export(network, first, dynamo=True, opset_version=opset, verbose=False)
        assert program is not None
        program.save(file)
    else:
        torch.onnx.export(network, first, file, dynamo=False, opset_version=opset)
    return file.getvalue(), rows


def _rows(what: Any) -> np.ndarray[Any, Any]:
    """Draws inputs: floats of a shape, or integers below a number."""
    rng = np.random.default_rng(0)
    if isinstance(what[0], str):
        kind, below, shape = what
        drawn = rng.integers(0, below, (RUNS, *shape))
        return drawn.astype(np.bool_ if kind == "bool" else np.dtype(kind))
    return rng.standard_normal((RUNS, *what), np.float32)


IMAGE: Shape = (1, 3, 32, 32)
SERIES: Shape = (1, 20, 8)


def _networks() -> list[tuple[str, Callable[[], nn.Module], tuple[Any, ...]]]:
    ids = ("int64", 50, (1, 12))
    return [
        ("mlp", partial(_mlp, nn.ReLU), ((1, 10),)),
        ("mlp-gelu", partial(_mlp, nn.GELU), ((1, 10),)),
        ("mlp-silu", partial(_mlp, nn.SiLU), ((1, 10),)),
        ("mlp-mish", partial(_mlp, nn.Mish), ((1, 10),)),
        ("mlp-selu", partial(_mlp, nn.SELU), ((1, 10),)),
        ("mlp-prelu", partial(_mlp, nn.PReLU), ((1, 10),)),
        ("mlp-hardswish", partial(_mlp, nn.Hardswish), ((1, 10),)),
        ("mlp-softplus", partial(_mlp, nn.Softplus), ((1, 10),)),
        ("mlp-glu", partial(_mlp, partial(nn.GLU)), ((1, 10),)),
        ("residual", _residual, (IMAGE,)),
        ("separable", _separable, (IMAGE,)),
        ("squeeze-excite", _squeeze_excite, (IMAGE,)),
        ("u-net", _u_net, (IMAGE,)),
        ("pixel-shuffle", _pixel_shuffle, (IMAGE,)),
        ("group-norm", _group_norm, (IMAGE,)),
        ("instance-norm", _instance_norm, (IMAGE,)),
        ("bicubic", _bicubic, (IMAGE,)),
        ("antialias", _antialias, (IMAGE,)),
        ("grid-sample", _grid_sample, (IMAGE, (1, 16, 16, 2))),
        ("adaptive-pool", _adaptive_pool, ((1, 3, 33, 35),)),
        ("max-pool-indices", _max_pool_indices, (IMAGE,)),
        ("conv3d", _conv3d, ((1, 1, 8, 16, 16),)),
        ("conv1d-causal", _causal, ((1, 8, 40),)),
        ("unfold", _unfold, (IMAGE,)),
        ("lstm", _lstm, (SERIES,)),
        ("lstm-bidirectional", partial(_lstm, True), (SERIES,)),
        ("gru", _gru, (SERIES,)),
        ("rnn", _rnn, (SERIES,)),
        ("gru-cell-loop", _gru_cell, (SERIES,)),
        ("encoder", _encoder, (SERIES,)),
        ("encoder-masked", _encoder_masked, (SERIES, ("bool", 2, (1, 20)))),
        ("attention-causal", _attention, (SERIES,)),
        ("embedding-bag", _embedding, (ids,)),
        ("text-cnn", _text_cnn, (ids,)),
        ("rms-norm", _rms_norm, (SERIES,)),
        ("autoencoder", _autoencoder, ((1, 64),)),
        ("variational", _variational, ((1, 64),)),
        ("siamese", _siamese, ((1, 16), (1, 16))),
        ("mixture-of-experts", _experts, ((4, 16),)),
        ("graph", _graph, ((10, 8), ("int64", 10, (2, 24)))),
        ("graph-attention", _graph_attention, ((10, 8), ("int64", 10, (2, 24)))),
        ("spectrum", _spectrum, ((1, 256),)),
        ("stft", _stft, ((1, 512),)),
        ("top-k", _top_k, ((1, 40),)),
        ("sort", _sort, ((1, 40),)),
        ("cumulative", _cumulative, (SERIES,)),
        ("scatter", _scatter, ((1, 10), ("int64", 10, (1, 4)))),
        ("index-put", _index_put, ((8, 4), ("int64", 8, (3,)))),
        ("one-hot", _one_hot, (("int64", 6, (1, 5)),)),
        ("einsum", _einsum, (SERIES,)),
        ("log-sum-exp", _log_sum_exp, (SERIES,)),
        ("statistics", _statistics, (SERIES,)),
        ("nan", _nan, (SERIES,)),
        ("roll-flip", _roll, (SERIES,)),
        ("where-mask", _where, (SERIES,)),
        ("integers", _integers, (("int32", 9, (1, 12)),)),
        ("kolmogorov-arnold", _splines, ((1, 6),)),
        ("cdist", _cdist, ((4, 8), (6, 8))),
        ("double", _double, ((1, 10),)),
        ("half", _half, ((1, 10),)),
        ("bfloat", _bfloat, ((1, 10),)),
        ("nonzero", _nonzero, ((1, 10),)),
        ("condition", _condition, ((1, 10),)),
        ("dueling", _dueling, ((1, 8),)),
        ("rotary", _rotary, ((1, 4, 12, 16),)),
        ("weight-norm", _weight_norm, ((1, 10),)),
        ("deconvolution", _deconvolution, ((1, 4, 8, 8),)),
        ("local-response", _local_response, (IMAGE,)),
        ("channel-shuffle", _channel_shuffle, ((1, 8, 8, 8),)),
        ("vision-transformer", _vision_transformer, (IMAGE,)),
    ]


def _mlp(activation: Callable[[], nn.Module]) -> nn.Module:
    halved = 8 if activation().__class__ is nn.GLU else 16
    return nn.Sequential(nn.Linear(10, 16), activation(), nn.Linear(halved, 3), nn.Softmax(-1))


def _residual() -> nn.Module:
    def block(channels: int) -> nn.Module:
        inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        return Of(lambda parts, x: F.relu(x + parts["inner"](x)), inner=inner)

    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        block(8),
        block(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def _separable() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        nn.ReLU6(),
        nn.Conv2d(8, 4, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    )


def _squeeze_excite() -> nn.Module:
    gate = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1), nn.Hardsigmoid()
    )
    first = nn.Conv2d(3, 8, 3)

    def forward(parts: Any, x: torch.Tensor) -> torch.Tensor:
        y = parts["first"](x)
        return torch.as_tensor(y * parts["gate"](y))

    return Of(forward, first=first, gate=gate)


def _u_net() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> torch.Tensor:
        down = F.leaky_relu(parts["down"](x), 0.1)
        up = F.interpolate(down, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.sigmoid(parts["out"](torch.cat([x, up], 1)))

    return Of(forward, down=nn.Conv2d(3, 6, 4, 2, 1), out=nn.Conv2d(9, 1, 3, padding=1))


def _pixel_shuffle() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.PixelUnshuffle(4))


def _group_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 2, 1))


def _instance_norm() -> nn.Module:
    return nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True)
    )


def _bicubic() -> nn.Module:
    return Of(lambda _, x: F.interpolate(x, size=(20, 44), mode="bicubic", align_corners=True))


def _antialias() -> nn.Module:
    return Of(lambda _, x: F.interpolate(x, size=(12, 12), mode="bilinear", antialias=True))


def _grid_sample() -> nn.Module:
    return Of(lambda _, x, grid: F.grid_sample(x, grid, align_corners=False))


def _adaptive_pool() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 2), nn.AdaptiveAvgPool2d((4, 2)), nn.AdaptiveMaxPool2d(2))


def _max_pool_indices() -> nn.Module:
    return Of(lambda _, x: F.max_pool2d(x, 2, return_indices=True))


def _conv3d() -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2))


def _causal() -> nn.Module:
    convolution = nn.Conv1d(8, 8, 3, dilation=4)
    return Of(lambda parts, x: torch.tanh(parts["c"](F.pad(x, (8, 0)))), c=convolution)


def _unfold() -> nn.Module:
    return nn.Sequential(nn.Unfold(4, stride=4), nn.Flatten(), nn.Linear(48 * 64, 4))


def _last(parts: Any, x: torch.Tensor) -> Any:
    return parts["head"](parts["recurrent"](x)[0][:, -1])


def _lstm(both: bool = False) -> nn.Module:
    recurrent = nn.LSTM(8, 12, num_layers=2, batch_first=True, bidirectional=both)
    return Of(_last, recurrent=recurrent, head=nn.Linear(24 if both else 12, 2))


def _gru() -> nn.Module:
    return Of(_last, recurrent=nn.GRU(8, 12, batch_first=True), head=nn.Linear(12, 2))


def _rnn() -> nn.Module:
    recurrent = nn.RNN(8, 12, nonlinearity="relu", batch_first=True)
    return Of(_last, recurrent=recurrent, head=nn.Linear(12, 2))


def _gru_cell() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(1, 12)
        for step in range(x.shape[1]):
            state = parts["cell"](x[:, step], state)
        return state

    return Of(forward, cell=nn.GRUCell(8, 12))


def _layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)


def _encoder() -> nn.Module:
    return nn.TransformerEncoder(_layer(), 2, enable_nested_tensor=False)


def _encoder_masked() -> nn.Module:
    encoder = nn.TransformerEncoder(_layer(), 1, enable_nested_tensor=False)

    def forward(parts: Any, x: torch.Tensor, mask: torch.Tensor) -> Any:
        padding = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, 1:]], 1)
        return parts["encoder"](x, src_key_padding_mask=padding)

    return Of(forward, encoder=encoder)


def _attention() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (2, 4)).transpose(1, 2) for part in parts["qkv"](x).chunk(3, -1)
        )
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)

    return Of(forward, qkv=nn.Linear(8, 24))


def _embedding() -> nn.Module:
    def forward(parts: Any, ids: torch.Tensor) -> Any:
        return parts["head"](parts["table"](ids).mean(1))

    return Of(forward, table=nn.Embedding(50, 8, padding_idx=0), head=nn.Linear(8, 3))


def _text_cnn() -> nn.Module:
    def forward(parts: Any, ids: torch.Tensor) -> Any:
        x = parts["table"](ids).transpose(1, 2)
        found = [F.relu(parts[width](x)).amax(-1) for width in ("two", "three")]
        return parts["head"](torch.cat(found, 1))

    parts = {"two": nn.Conv1d(8, 6, 2), "three": nn.Conv1d(8, 6, 3)}
    return Of(forward, table=nn.Embedding(50, 8), head=nn.Linear(12, 4), **parts)


def _rms_norm() -> nn.Module:
    return nn.Sequential(nn.RMSNorm(8), nn.Linear(8, 4), nn.LayerNorm(4))


def _autoencoder() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 64), nn.Sigmoid())


def _variational() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> Any:
        mean, deviation = parts["encode"](x).chunk(2, -1)
        return parts["decode"](mean + torch.randn_like(mean) * torch.exp(deviation / 2))

    return Of(forward, encode=nn.Linear(64, 8), decode=nn.Linear(4, 64))


def _siamese() -> nn.Module:
    def forward(parts: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return F.cosine_similarity(parts["tower"](a), parts["tower"](b))

    return Of(forward, tower=nn.Sequential(nn.Linear(16, 8), nn.ELU()))


def _experts() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> torch.Tensor:
        weights, chosen = torch.topk(torch.softmax(parts["gate"](x), -1), 2)
        every = torch.stack([parts[f"expert{at}"](x) for at in range(4)], 1)
        picked = torch.gather(every, 1, chosen[..., None].expand(-1, -1, 16))
        return (picked * weights[..., None]).sum(1)

    experts = {f"expert{at}": nn.Linear(16, 16) for at in range(4)}
    return Of(forward, gate=nn.Linear(16, 4), **experts)


def _graph() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        messages = parts["message"](x)[edges[0]]
        gathered = torch.zeros(x.shape[0], 6).index_add(0, edges[1], messages)
        return F.relu(gathered)

    return Of(forward, message=nn.Linear(8, 6))


def _graph_attention() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        h = parts["message"](x)
        score = F.leaky_relu((h[edges[0]] * h[edges[1]]).sum(-1, keepdim=True), 0.2).exp()
        to = edges[1][:, None]
        total = torch.zeros(x.shape[0], 1).scatter_add(0, to, score)
        sums = torch.zeros(x.shape[0], 6).scatter_add(0, to.expand(-1, 6), score * h[edges[0]])
        return sums / (total + 1e-6)

    return Of(forward, message=nn.Linear(8, 6))


def _spectrum() -> nn.Module:
    return Of(lambda _, x: torch.log1p(torch.view_as_real(torch.fft.rfft(x)).pow(2).sum(-1)))


def _stft() -> nn.Module:
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        window = torch.hann_window(64)
        found = torch.stft(x, 64, 32, window=window, center=False, return_complex=True)
        return torch.view_as_real(found).pow(2).sum(-1)

    return Of(forward)


def _top_k() -> nn.Module:
    return Of(lambda _, x: torch.topk(x, 5))


def _sort() -> nn.Module:
    return Of(lambda _, x: (torch.sort(x, descending=True)[0], torch.argsort(x)))


def _cumulative() -> nn.Module:
    return Of(lambda _, x: (torch.cumsum(x, 1), torch.cumsum(x.sigmoid().log(), 1).exp()))


def _scatter() -> nn.Module:
    return Of(lambda _, x, at: (x.scatter(1, at, 2.0), x.scatter_reduce(1, at, x[:, :4], "amax")))


def _index_put() -> nn.Module:
    def forward(_: Any, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[at] = 1.5
        y[:, 1:3] = x[:, :2] * 2
        return y

    return Of(forward)


def _one_hot() -> nn.Module:
    return Of(lambda _, x: F.one_hot(x, 6).float().mean(1))


def _einsum() -> nn.Module:
    return Of(lambda _, x: torch.einsum("btd,bsd->bts", x, x).softmax(-1).matmul(x))


def _log_sum_exp() -> nn.Module:
    return Of(lambda _, x: (torch.logsumexp(x, -1), F.log_softmax(x, 1), F.softmin(x, -1)))


def _statistics() -> nn.Module:
    return Of(lambda _, x: (x.std(1), x.var(1, unbiased=False), x.norm(dim=-1), x.prod(-1)))


def _nan() -> nn.Module:
    return Of(lambda _, x: (torch.nan_to_num(x.log()), x.isnan(), x.isinf(), x.clamp(-1, 1).sign()))


def _roll() -> nn.Module:
    return Of(lambda _, x: (x.roll(3, 1), x.flip(1), x.repeat_interleave(2, 1), x.tril()))


def _where() -> nn.Module:
    return Of(lambda _, x: torch.where(x > 0, x, x.exp() - 1).masked_fill(x > 1, -1e9).amax(-1))


def _integers() -> nn.Module:
    return Of(lambda _, x: (x // 2, x % 5, (x + 3) * x, (x > 4) & (x != 7), x.sum(), x.argmin()))


def _splines() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> Any:
        grid = torch.linspace(-2, 2, 7)
        return parts["out"](torch.exp(-((x[..., None] - grid) ** 2)).flatten(1)) + parts["base"](
            F.silu(x)
        )

    return Of(forward, out=nn.Linear(42, 3), base=nn.Linear(6, 3))


def _cdist() -> nn.Module:
    return Of(lambda _, a, b: torch.cdist(a, b))


def _double() -> nn.Module:
    return Of(lambda parts, x: parts["l"](x.double()).float(), l=nn.Linear(10, 4).double())


def _half() -> nn.Module:
    return Of(lambda parts, x: parts["l"](x.half()).float(), l=nn.Linear(10, 4).half())


def _bfloat() -> nn.Module:
    return Of(lambda parts, x: parts["l"](x.bfloat16()).float(), l=nn.Linear(10, 4).bfloat16())


def _nonzero() -> nn.Module:
    return Of(lambda _, x: torch.nonzero(x > 0))


class _Condition(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.yes, self.no = nn.Linear(10, 2), nn.Linear(10, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, self.yes, self.no, (x,))


def _condition() -> nn.Module:
    return _Condition()


def _dueling() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> torch.Tensor:
        advantage = parts["advantage"](x)
        return (parts["value"](x) + advantage - advantage.mean(-1, keepdim=True)).argmax(-1)

    return Of(forward, value=nn.Linear(8, 1), advantage=nn.Linear(8, 4))


def _rotary() -> nn.Module:
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        at = torch.arange(x.shape[2])[:, None] / 100 ** (torch.arange(8) / 8)
        cos, sin = at.cos(), at.sin()
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    return Of(forward)


def _weight_norm() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(10, 4))


def _deconvolution() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(4, 6, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(6, 3, 3, 3, groups=3)
    )


def _local_response() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(5))


def _channel_shuffle() -> nn.Module:
    return nn.Sequential(nn.Conv2d(8, 8, 1, groups=4), nn.ChannelShuffle(4))


def _vision_transformer() -> nn.Module:
    def forward(parts: Any, x: torch.Tensor) -> Any:
        patches = parts["patches"](x).flatten(2).transpose(1, 2)
        return parts["head"](parts["layer"](patches).mean(1))

    return Of(forward, patches=nn.Conv2d(3, 8, 8, 8), layer=_layer(), head=nn.Linear(8, 5))


# KERAS


def _of_keras() -> list[tuple[str, Callable[[Any], list[Any]], Shape]]:
    return [
        ("dense", lambda k: [k.Dense(16, "relu"), k.Dense(3, "softmax")], (10,)),
        (
            "convolutions",
            lambda k: [
                k.Conv2D(8, 3, padding="same", activation="relu"),
                k.BatchNormalization(),
                k.MaxPooling2D(),
                k.DepthwiseConv2D(3),
                k.GlobalAveragePooling2D(),
                k.Dense(4),
            ],
            (16, 16, 3),
        ),
        (
            "separable",
            lambda k: [k.SeparableConv2D(8, 3, strides=2, padding="same"), k.LeakyReLU()],
            (15, 15, 3),
        ),
        ("transposed", lambda k: [k.Conv2DTranspose(4, 3, 2, "same"), k.UpSampling2D()], (6, 6, 3)),
        ("lstm", lambda k: [k.LSTM(6), k.Dense(2)], (12, 4)),
        ("gru-both-ways", lambda k: [k.Bidirectional(k.GRU(6)), k.Dense(2)], (12, 4)),
        ("simple-rnn", lambda k: [k.SimpleRNN(6, return_sequences=True)], (12, 4)),
        ("conv-1d", lambda k: [k.Conv1D(6, 3, padding="causal"), k.GlobalMaxPooling1D()], (20, 4)),
        (
            "norms",
            lambda k: [k.LayerNormalization(), k.Dense(4)],
            (9,),
        ),
        (
            "discretized",
            lambda k: [k.Rescaling(0.1), k.Normalization(mean=1, variance=2)],
            (9,),
        ),
        ("attention", lambda k: [_self_attention(k)], (10, 8)),
    ]


def _self_attention(layers: Any) -> Any:
    import keras

    class Attention(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.MultiHeadAttention(2, 4)

        def call(self, x: Any) -> Any:
            return self.inner(x, x)

    return Attention()


def _kept(build: Callable[[Any], list[Any]], shape: Shape) -> tuple[bytes, Rows]:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape, batch_size=1), *build(keras.layers)])
    rows = _rows((1, *shape))
    model(rows[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.export(str(path), format="onnx", verbose=False)
        return path.read_bytes(), [rows]
