"""The executor: payloads in and out, values freed, results independent of what ran before."""

import numpy as np
import pytest

from oracle.errors import WrongPayloadLength, WrongTensorCount, WrongTensorShape, WrongTensorType
from oracle.exact.lowering.graph import lower
from oracle.exact.run import Runner, infer, run
from tests.oracles import same
from tests.unit.exact.files import file, node, tensor
from tests.unit.exact.test_program import perceptron


def test_infer_goes_from_payload_to_payload():
    program = lower(perceptron())
    x = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    (y,) = run(program, [x])
    assert infer(program, x.astype(">f4").tobytes()) == y.astype(">f4").tobytes()


def test_run_gives_the_same_bits_by_the_plain_kernels():
    program = lower(perceptron())
    rng = np.random.default_rng(0)
    for scale in (1, 1e-40, 1e38):
        x = (rng.standard_normal((2, 3)) * scale).astype(np.float32)
        assert same(run(program, [x])[0], run(program, [x], plain=True)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_run_gives_canonical_results_when_inputs_are_special(value):
    program = lower(perceptron())
    x = np.full((2, 3), value, np.float32)
    x[0, 0] = -0.0
    (fast,), (plain,) = run(program, [x]), run(program, [x], plain=True)
    assert same(fast, plain)


def test_run_reads_inputs_in_their_canonical_form():
    program = lower(
        file([node("Div", ["o", "x"], ["y"])], [tensor("x", [1])], ["y"], o=np.ones(1, np.float32))
    )
    assert run(program, [np.array([-0.0], np.float32)])[0] == [np.inf]


def test_run_leaves_its_inputs_and_the_program_as_they_were():
    program = lower(perceptron())
    runner = Runner(program)
    x = np.ones((2, 3), np.float32)
    first = runner.run([x])[0].copy()
    runner.run([x * 7])
    assert (x == 1).all() and same(runner.run([x])[0], first)


def test_run_gives_an_input_twice_when_two_outputs_are_one_value():
    nodes = [node("Relu", ["x"], ["y"]), node("Identity", ["y"], ["z"])]
    first, second = run(
        lower(file(nodes, [tensor("x", [2])], ["y", "z"])), [np.ones(2, np.float32)]
    )
    assert same(first, second)


def test_run_reads_a_value_with_another_shape():
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Reshape", ["r", "s"], ["t"]),
        node("Add", ["t", "x"], ["y"]),
    ]
    program = lower(file(nodes, [tensor("x", [2, 3])], ["y"], s=np.array([1, 2, 3])))
    assert run(program, [np.ones((2, 3), np.float32)])[0].shape == (1, 2, 3)


def test_run_refuses_arrays_that_do_not_fit():
    runner = Runner(lower(perceptron()))
    with pytest.raises(WrongTensorCount):
        runner.run([])
    with pytest.raises(WrongTensorShape):
        runner.run([np.zeros((3, 2), np.float32)])
    with pytest.raises(WrongTensorType):
        runner.run([np.zeros((2, 3))])
    with pytest.raises(WrongPayloadLength):
        runner.infer(bytes(23))


def test_run_takes_int_min_by_minus_one_and_zero():
    """What kills onnxruntime's process."""
    model = file(
        [node("Div", ["x", "z"], ["y"])], [tensor("x", [2], 7), tensor("z", [2], 7)], ["y"]
    )
    low = np.array([-(2**63)] * 2)
    assert run(lower(model), [low, np.array([-1, 0])])[0].tolist() == [-(2**63), 0]
