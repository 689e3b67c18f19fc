"""Sequences shorter than their batch, in RNN, GRU and LSTM."""

import numpy as np
import pytest

from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from tests.oracles import same
from tests.unit.exact.agreement import check, model, numbers, refusal

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
LENGTHS = {"len": np.array([5, 1, 3], np.int32)}


def weights(op: str, directions: int) -> dict:
    rows = GATES[op] * 4
    states = {"h0": numbers(directions, 3, 4, seed=3)}
    if op == "LSTM":
        states["c0"] = numbers(directions, 3, 4, seed=4)
    return {
        "w": numbers(directions, rows, 2, seed=1),
        "r": numbers(directions, rows, 4, seed=2),
        "bias": numbers(directions, 2 * rows, seed=5),
        **states,
    }


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("constant", [True, False])
def test_sequences_end_at_their_lengths(op, direction, constant):
    given = weights(op, 2 if direction == "bidirectional" else 1)
    check(
        op,
        {"x": numbers(5, 3, 2)} | ({} if constant else LENGTHS),
        given | (LENGTHS if constant else {}),
        order=["x", "w", "r", "bias", "len", *(name for name in given if name.endswith("0"))],
        outputs=3 if op == "LSTM" else 2,
        hidden_size=4,
        direction=direction,
    )


def test_lengths_must_be_one_a_sequence():
    inputs = {"x": numbers(5, 3, 2), "len": np.int32([5])}
    refused = refusal(
        "LSTM", inputs, weights("LSTM", 1), order=["x", "w", "r", "bias", "len"], hidden_size=4
    )
    assert "sequence_lens are int32[1]" in refused


def test_weights_and_states_must_fit():
    order = ["x", "w", "r", "bias", "", "h0"]
    for name, wrong in (("w", (1, 12, 3)), ("r", (1, 12, 3)), ("bias", (1, 12)), ("h0", (3, 1, 4))):
        given = weights("GRU", 1) | {name: numbers(*wrong)}
        refused = refusal("GRU", {"x": numbers(5, 3, 2)}, given, order=order, hidden_size=4)
        assert f"is float[{','.join(map(str, wrong))}], not" in refused


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_batch_may_come_first(op, direction):
    """As the same sequences with the steps first, since onnxruntime knows no other layout."""
    count = 2 if direction == "bidirectional" else 1
    given = weights(op, count) | LENGTHS
    states = [name for name in given if name.endswith("0")]
    turned = given | {name: given[name].transpose(1, 0, 2) for name in states}
    x = numbers(5, 3, 2)

    def outputs(x, given, layout):
        names = ["x", "w", "r", "bias", "len", *states]
        many = 3 if op == "LSTM" else 2
        options = {"outputs": many, "hidden_size": 4, "direction": direction, "layout": layout}
        return run(lower(model(op, {"x": x}, given, order=names, **options)), [x])

    y, *finals = outputs(x, given, 0)
    y_turned, *finals_turned = outputs(x.transpose(1, 0, 2).copy(), turned, 1)
    assert same(y_turned, y.transpose(2, 0, 1, 3))
    assert all(
        same(ours, theirs.transpose(1, 0, 2))
        for ours, theirs in zip(finals_turned, finals, strict=True)
    )
