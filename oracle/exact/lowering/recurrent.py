"""RNN, GRU and LSTM, written out step by step.

One DOT serves the inputs of all steps, with the biases in it: W·x + (Wb + Rb). Each step has one
more, R·h with its part of the first as bias. So a gate is rounded twice before its activation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from oracle.exact.lowering.builder import Builder
from oracle.exact.lowering.elementwise import cast
from oracle.exact.lowering.indexing import joined, taken
from oracle.exact.lowering.quantized import centred, dynamically
from oracle.exact.lowering.source import Lowering, Source
from oracle.exact.primitive import Outside
from oracle.exact.program import Op, Operand
from oracle.types import DType

_ACTIVATIONS: dict[str, Op] = {"sigmoid": Op.SIGMOID, "tanh": Op.TANH}


@dataclass(frozen=True, slots=True)
class _Weights:
    """Weights [N, K]: float32, or, where they are quantized, int32 with scales."""

    matrix: Operand
    scale: Operand | None = None

    def times(self, b: Builder, x: Operand, added: Operand | None) -> Operand:
        """Emits x·Wᵀ + added as one exact sum. For quantized weights x is quantized as a whole, and
        it is int32 · scale, + added."""
        rest = [] if added is None else [added]
        if self.scale is None:
            return b.emit(Op.DOT, [x, self.matrix, *rest])
        small, step, zero = dynamically(b, x)
        total = b.emit(Op.DOT, (centred(b, small, zero), self.matrix))
        scales = b.emit(Op.MUL, (step, self.scale))
        product = b.emit(Op.MUL, (cast(b, total, DType.FLOAT), scales))
        return b.emit(Op.ADD, [product, *rest]) if rest else product

    def part(self, b: Builder, first: int, count: int) -> "_Weights":
        """Takes `count` rows of GRU's weights, which are never quantized."""
        return _Weights(taken(b, self.matrix, range(first, first + count), 0))


@dataclass(frozen=True, slots=True)
class _Cell:
    """One direction's weights and activations. Its state is h, for LSTM h and c."""

    hidden: int
    weights: _Weights
    recurrence: _Weights
    bias: Operand | None
    recurrent_bias: Operand | None
    peepholes: Operand | None
    activations: tuple[str, ...]
    linear_before_reset: bool


State = tuple[Operand, ...]
Step = Callable[[Builder, _Cell, Operand, State], State]


def _recurrent(
    gates: int, step: Step, names: tuple[str, ...], states: int, quantized: bool = False
) -> Lowering:
    """Makes the lowering of an op that gives Y, Y_h and, where it has two states, Y_c."""

    def lowering(b: Builder, node: Source) -> list[Operand]:
        batch_first = node.integer("layout", 0) if node.opset >= 14 and not quantized else 0
        x = node.input(0)
        if len(x.type.shape) != 3:
            raise Outside(f"its input is {x.type}", "give it [steps, batch, features]")
        x = b.transpose(x, (1, 0, 2)) if batch_first else x
        steps, batch, _ = x.type.shape
        lengths = _lengths(b, node, steps, batch)
        directions = _directions(node)
        node = _turned(b, node) if quantized else node
        hidden = _hidden(node, len(directions), gates, states, batch, bool(batch_first))
        initial = [_initial(b, node, 5 + s, len(directions), batch, hidden) for s in range(states)]
        if batch_first:
            initial = [
                s if node.optional(5 + at) is None else b.transpose(s, (1, 0, 2))
                for at, s in enumerate(initial)
            ]
        outputs, lasts = [], []
        for at, backward in enumerate(directions):
            cell = _cell(b, node, at, len(directions), gates, hidden, names, quantized)
            state = tuple(_part(b, one, at) for one in initial)
            hs, last = _unrolled(b, cell, step, x, lengths, state, backward)
            outputs.append(hs)
            lasts.append(last)
        shape = (steps, 1, batch, hidden)
        y = joined(b, [b.reshape(hs, shape) for hs in outputs], 1)
        finals = [
            joined(b, [b.reshape(last[s], (1, batch, hidden)) for last in lasts], 0)
            for s in range(states)
        ]
        if batch_first:
            y = b.transpose(y, (2, 0, 1, 3))
            finals = [b.transpose(final, (1, 0, 2)) for final in finals]
        return [y, *finals]

    return lowering


def _lengths(b: Builder, node: Source, steps: int, batch: int) -> Operand | None:
    """Gives the lengths [batch, 1], or None where all sequences are as long as the input."""
    given = node.optional(4)
    if given is None:
        return None
    if given.type.shape != (batch,) or given.type.dtype is not DType.INT32:
        raise Outside(f"its sequence_lens are {given.type}", f"give {batch} of int32")
    known = b.known(given)
    if known is not None and (known == steps).all():
        return None
    return b.reshape(given, (batch, 1))


def _hidden(
    node: Source, directions: int, gates: int, states: int, batch: int, batch_first: bool
) -> int:
    """Gives the size of h. Raises Outside where a weight or state does not have it."""
    shape = node.input(2).type.shape
    hidden = node.integer("hidden_size", shape[-1] if shape else 0)
    start = (batch, directions, hidden) if batch_first else (directions, batch, hidden)
    wanted = {
        1: (directions, gates * hidden, node.input(0).type.shape[2]),
        2: (directions, gates * hidden, hidden),
        3: (directions, 2 * gates * hidden),
        7: (directions, 3 * hidden),
    } | {5 + state: start for state in range(states)}
    for place, wants in wanted.items():
        given = node.optional(place)
        if given is not None and given.type.shape != wants:
            raise Outside(f"its input {place} is {given.type}, not {wants}", "fix the file")
    return hidden


def _directions(node: Source) -> tuple[bool, ...]:
    """Says for each direction whether it goes backward."""
    match node.text("direction", "forward"):
        case "forward":
            return (False,)
        case "reverse":
            return (True,)
        case "bidirectional":
            return (False, True)
        case other:
            raise Outside(f"direction {other!r} is unknown", "fix the file")


def _initial(
    b: Builder, node: Source, place: int, directions: int, batch: int, hidden: int
) -> Operand:
    given = node.optional(place)
    if given is not None:
        return given
    return b.constant(np.zeros((directions, batch, hidden), np.float32))


def _part(b: Builder, x: Operand, at: int) -> Operand:
    """Takes x[at]."""
    return b.reshape(taken(b, x, [at], 0), x.type.shape[1:])


def _cell(
    b: Builder,
    node: Source,
    at: int,
    directions: int,
    gates: int,
    hidden: int,
    names: tuple[str, ...],
    quantized: bool,
) -> _Cell:
    if node.has("clip") or node.has("activation_alpha") or node.has("activation_beta"):
        raise Outside("clip and parameters of activations are not covered", "leave them out")
    if len(names) == 3 and node.integer("input_forget", 0):
        raise Outside("input_forget is not covered", "leave it out")
    given = node.texts("activations") or names * directions
    if len(given) != len(names) * directions:
        raise Outside(f"its activations are {given}", "give one a gate and direction")
    mine = tuple(n.lower() for n in given[at * len(names) : (at + 1) * len(names)])
    if unknown := set(mine) - {*_ACTIVATIONS, "relu"}:
        raise Outside(f"activations {sorted(unknown)} are not covered", "use Sigmoid, Tanh, Relu")
    if quantized:
        weights, recurrence = (_quantized(b, node, at, i, 8 + 2 * i) for i in (0, 1))
    else:
        weights, recurrence = (_Weights(_part(b, node.input(i), at)) for i in (1, 2))
    one: Operand | None = None
    two: Operand | None = None
    if (bias := node.optional(3)) is not None:
        both = b.reshape(_part(b, bias, at), (2, gates * hidden))
        one, two = _part(b, both, 0), _part(b, both, 1)
    peepholes = None
    if len(names) == 3 and (given_p := node.optional(7)) is not None:
        peepholes = b.reshape(_part(b, given_p, at), (3, hidden))
    after = bool(node.integer("linear_before_reset", 0)) if len(names) == 2 else False
    return _Cell(hidden, weights, recurrence, one, two, peepholes, mine, after)


def _unrolled(
    b: Builder,
    cell: _Cell,
    step: Step,
    x: Operand,
    lengths: Operand | None,
    state: State,
    backward: bool,
) -> tuple[Operand, State]:
    """Emits all h [steps, batch, hidden], and the last state. Beyond its length a sequence keeps
    its state and gives 0; so one that goes backward begins at its own end."""
    steps, batch, features = x.type.shape
    bias = cell.bias
    if bias is not None and cell.recurrent_bias is not None:
        bias = b.emit(Op.ADD, (bias, _inner_bias(b, cell)))
    rows = b.reshape(x, (steps * batch, features))
    inputs = cell.weights.times(b, rows, bias)
    inputs = b.reshape(inputs, (steps, batch, inputs.type.shape[-1]))
    hs = []
    for at in reversed(range(steps)) if backward else range(steps):
        new = step(b, cell, _part(b, inputs, at), state)
        h = new[0]
        if lengths is not None:
            within = b.emit(Op.LESS, (b.scalar(at, DType.INT32), lengths))
            h = b.emit(Op.WHERE, (within, h, b.scalar(0)))
            new = tuple(
                b.emit(Op.WHERE, (within, after, before))
                for after, before in zip(new, state, strict=True)
            )
        state = new
        hs.append(b.reshape(h, (1, batch, cell.hidden)))
    return joined(b, hs[::-1] if backward else hs, 0), state


def _inner_bias(b: Builder, cell: _Cell) -> Operand:
    """Emits Rb, with zeros for the part that GRU's reset gate multiplies."""
    bias = cell.recurrent_bias
    assert bias is not None
    if not cell.linear_before_reset:
        return bias
    nothing = b.constant(np.zeros(cell.hidden, np.float32))
    return joined(b, [taken(b, bias, range(2 * cell.hidden), 0), nothing], 0)


def _gate(b: Builder, x: Operand, hidden: int, first: int, count: int = 1) -> Operand:
    axis = len(x.type.shape) - 1
    return taken(b, x, range(first * hidden, (first + count) * hidden), axis)


def _rows(b: Builder, cell: _Cell, first: int, count: int) -> Operand:
    return cell.recurrence.part(b, first * cell.hidden, count * cell.hidden).matrix


def _turned(b: Builder, node: Source) -> Source:
    """Transposes com.microsoft's W and R, [directions, K, N], to the order of ONNX's LSTM."""
    inputs = list(node.inputs)
    for place in (1, 2):
        weights = node.input(place)
        if len(weights.type.shape) != 3:
            raise Outside(f"its weights are {weights.type}", "fix the file")
        inputs[place] = b.transpose(weights, (0, 2, 1))
    return replace(node, inputs=tuple(inputs))


def _quantized(b: Builder, node: Source, at: int, which: int, place: int) -> _Weights:
    """Reads one direction's weights minus zero points, and their scales: one, or one a row."""
    weights = node.input(1 + which)
    directions, count, _ = weights.type.shape
    columns = []
    for given in (node.input(place), node.input(place + 1)):
        if given.type.shape not in ((directions,), (directions, count)):
            raise Outside(f"scales and zero points {given.type} for {weights.type}", "fix the file")
        columns.append(_part(b, given, at))
    scale, zero = columns
    if zero.type.shape:
        zero = b.reshape(zero, (count, 1))
    return _Weights(centred(b, _part(b, weights, at), zero), scale)


def _active(b: Builder, name: str, x: Operand) -> Operand:
    return b.emit(Op.MAX, (x, b.scalar(0))) if name == "relu" else b.emit(_ACTIVATIONS[name], (x,))


def _rnn_step(b: Builder, cell: _Cell, x: Operand, state: State) -> State:
    return (_active(b, cell.activations[0], cell.recurrence.times(b, state[0], x)),)


def _gru_step(b: Builder, cell: _Cell, x: Operand, state: State) -> State:
    """Emits h' = (1 − z)∘ĥ + z∘h, where z, r = f(x_zr + R·h), and ĥ = g(x_h + R·(r∘h)), or
    g(x_h + r∘(R·h + Rb)) with linear_before_reset."""
    (h,), n = state, cell.hidden
    outer, inner = cell.activations
    dot = b.emit(Op.DOT, (h, _rows(b, cell, 0, 2), _gate(b, x, n, 0, 2)))
    gates = _active(b, outer, dot)
    z, r = _gate(b, gates, n, 0), _gate(b, gates, n, 1)
    if cell.linear_before_reset:
        bias = [] if cell.recurrent_bias is None else [_gate(b, cell.recurrent_bias, n, 2)]
        linear = b.emit(Op.DOT, (h, _rows(b, cell, 2, 1), *bias))
        new = b.emit(Op.ADD, (_gate(b, x, n, 2), b.emit(Op.MUL, (r, linear))))
    else:
        reset = b.emit(Op.MUL, (r, h))
        new = b.emit(Op.DOT, (reset, _rows(b, cell, 2, 1), _gate(b, x, n, 2)))
    new = _active(b, inner, new)
    fresh = b.emit(Op.MUL, (b.emit(Op.SUB, (b.scalar(1), z)), new))
    return (b.emit(Op.ADD, (fresh, b.emit(Op.MUL, (z, h)))),)


def _lstm_step(b: Builder, cell: _Cell, x: Operand, state: State) -> State:
    """Emits c' = f∘c + i∘g and h' = o∘tanh(c') with gates i, o, f. Peepholes add P∘c to a gate, and
    P∘c' to o."""
    (h, c), n = state, cell.hidden
    outer, inner, last = cell.activations
    dot = cell.recurrence.times(b, h, x)
    new = _active(b, inner, _gate(b, dot, n, 3))
    if cell.peepholes is None:
        gates = _active(b, outer, _gate(b, dot, n, 0, 3))
        i, o, f = (_gate(b, gates, n, at) for at in range(3))
    else:
        i = _active(b, outer, _peeped(b, cell, _gate(b, dot, n, 0), 0, c))
        f = _active(b, outer, _peeped(b, cell, _gate(b, dot, n, 2), 2, c))
    c = b.emit(Op.ADD, (b.emit(Op.MUL, (f, c)), b.emit(Op.MUL, (i, new))))
    if cell.peepholes is not None:
        o = _active(b, outer, _peeped(b, cell, _gate(b, dot, n, 1), 1, c))
    return b.emit(Op.MUL, (o, _active(b, last, c))), c


def _peeped(b: Builder, cell: _Cell, gate: Operand, which: int, c: Operand) -> Operand:
    assert cell.peepholes is not None
    return b.emit(Op.ADD, (gate, b.emit(Op.MUL, (_part(b, cell.peepholes, which), c))))


ONNX: dict[str, Lowering] = {
    "RNN": _recurrent(1, _rnn_step, ("Tanh",), 1),
    "GRU": _recurrent(3, _gru_step, ("Sigmoid", "Tanh"), 1),
    "LSTM": _recurrent(4, _lstm_step, ("Sigmoid", "Tanh", "Tanh"), 2),
}
MICROSOFT: dict[str, Lowering] = {
    "DynamicQuantizeLSTM": _recurrent(
        4, _lstm_step, ("Sigmoid", "Tanh", "Tanh"), 2, quantized=True
    ),
}
