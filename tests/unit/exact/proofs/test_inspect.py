"""What `exactum model inspect` says of a program."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from oracle.cli.model import model
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op, OperandKind
from oracle.exact.proofs.bounds import WORD, bounds, dearest
from oracle.exact.proofs.evidence import ClaimKind
from oracle.exact.proofs.inspect import inspect, live_bytes, unprovable, weight_bytes
from tests.parity.programs import made
from tests.unit.exact.files import file, leaning, node, regressor, tensor


def perceptron(k: int = 100, *ops: str) -> bytes:
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"]),
        node("Softmax", ["h"], ["p"]),
        *(node(op, ["p"], [op]) for op in ops),
    ]
    weights = {"w": np.ones((k, 10), np.float32), "b": np.arange(10, dtype=np.float32)}
    return file(nodes, [tensor("x", ["batch", k])], ["p", *ops], **weights)


def inspected(model: bytes):
    return inspect(model, lower(model))


def test_inspect_counts_primitives_and_says_what_each_op_became():
    found = inspected(perceptron())
    assert {each.op: each.into for each in found.lowered} == {
        "Gemm": {"DOT": 1},
        "Softmax": {"REDUCE_MAX": 1, "SUB": 1, "EXP": 1, "REDUCE_SUM": 1, "DIV": 1},
    }
    shares = {share.op: share for share in found.primitives}
    assert (shares[Op.DOT].nodes, shares[Op.DOT].elements, shares[Op.DOT].steps) == (1, 10, 1010)
    assert found.steps == sum(share.steps for share in found.primitives)
    assert found.rounds == 2  # one for the tree of values, one for the leaves of the widest


def test_the_dearest_proof_is_of_the_longest_row():
    found = inspected(perceptron(4096)).dearest
    assert (found.op, found.name, found.steps) == (Op.DOT, "myGemm", 4097)
    # A row of the input and one of the weights; a bias, and the claimed element.
    assert 2 * 128 <= found.leaves - 2 <= 2 * 129
    assert 4096 * 8 < found.others < 4096 * 8 + 4096
    assert (
        found.gas
        == 21_000 + 4 * (found.zeros + 4 * found.others) + found.judging + found.convicting
    )


def test_a_function_opens_one_leaf_of_its_operand():
    nodes = [node("Exp", ["x"], ["a"]), node("Tanh", ["a"], ["y"])]
    found = dearest(lower(file(nodes, [tensor("x", [1000])], ["y"])), 0)
    assert found.leaves == 2  # that of the input, and that of the claimed element
    assert found.others < 2000


def test_a_walk_opens_a_node_for_each_of_its_steps():
    program = lower(file([regressor()], [tensor("x", [1, 1])], ["y"]))
    walk = next(at for at, n in enumerate(program.nodes) if n.op is Op.TREE_WALK)
    (steps,) = program.nodes[walk].attributes
    # The root, its nodes, what each of them but the last compares, and the claimed element.
    assert dearest(program, walk).leaves == 1 + (steps + 1) + steps + 1


def test_an_op_that_leaves_no_node_is_said_to():
    nodes = [node("Reshape", ["x", "shape"], ["r"]), node("Exp", ["r"], ["y"])]
    found = inspected(file(nodes, [tensor("x", [6])], ["y"], shape=np.array([2, 3])))
    assert {each.op: each.into for each in found.lowered} == {"Reshape": {}, "Exp": {"EXP": 1}}


def test_live_bytes_are_those_at_the_widest_place():
    nodes = [node("Exp", ["x"], ["a"]), node("Tanh", ["a"], ["b"]), node("Erf", ["b"], ["y"])]
    program = lower(file(nodes, [tensor("x", [100])], ["y"]))
    assert live_bytes(program) == 400 + 2 * 400
    assert weight_bytes(program) == 0


def test_unprovable_names_no_walk_of_200_comparisons():
    program = lower(file([leaning(200)], [tensor("x", [1, 1])], ["y"]))
    assert unprovable(program) == []


def test_unprovable_names_a_program_whose_header_fills_a_transaction():
    names = [f"x{at}" for at in range(4_100)]
    program = lower(file([node("Sum", names, ["y"])], [tensor(n, [1]) for n in names], ["y"]))
    assert len(unprovable(program)) == len(program.nodes)


def test_unprovable_names_what_fits_in_no_transaction():
    """No panels are made of a walk."""
    program = lower(file([leaning(1_000)], [tensor("x", [1, 1])], ["y"]))
    [found] = unprovable(program)
    assert (found.node, found.op) == ("myTreeEnsembleRegressor", "TREE_WALK")
    assert "node 0" in found.why and "gas of 16,777,216 and" in found.why
    assert "bytes of 131,072" in found.why


@pytest.mark.parametrize(
    ("op", "row", "unit"),
    [
        (Op.REDUCE_MAX, np.ones((1, 33_000), np.float32), "bytes"),
        (Op.REDUCE_MAX, np.ones((1, 100_000), np.int8), "gas"),
    ],
)
@pytest.mark.parametrize("kind", OperandKind)
def test_unprovable_names_a_row_in_one_piece(op, row, unit, kind):
    """As a publisher may write it, who lowers by other means."""
    program, _ = made(op, [row], [kind], ())
    [found] = unprovable(program)
    assert found.op == op.name and {"bytes", "gas"} & set(found.why.split()) == {unit}


@pytest.mark.parametrize("size", [40_000, 1 << 20])
def test_a_payload_of_any_size_leaves_its_elements_provable(size):
    program = lower(file([node("Exp", ["x"], ["y"])], [tensor("x", [size])], ["y"]))
    assert unprovable(program) == []
    assert dearest(program, 0).size < 5_000


def test_unprovable_is_nothing_of_the_longest_sum_that_the_law_promises():
    assert unprovable(lower(perceptron(14_336)), bytes(range(1, 129)) * 8) == []


def test_unprovable_counts_the_model_that_goes_with_a_dearest():
    program = lower(perceptron(14_336))
    [found] = unprovable(program, bytes(range(1, 129)) * 128)
    assert found.op == "DOT"


def test_a_lie_in_an_output_is_proven_by_what_lies_under_its_root():
    """Of `Exp` one number would do, in the trace; but the trace may be right where the output is
    not. The output's payload is no larger than its value, and lies in no trace."""
    program = lower(file([node("Exp", ["x"], ["y"])], [tensor("x", [1000])], ["y"]))
    value, output = bounds(program, 0)
    assert (value.kind, output.kind) == (ClaimKind.VALUE, ClaimKind.OUTPUT)
    assert value.leaves == output.leaves and value.others - output.others == WORD


@pytest.fixture
def invoke(tmp_path):
    def call(onnx: bytes, *arguments: str):
        path = tmp_path / "model.onnx"
        path.write_bytes(onnx)
        return CliRunner().invoke(model, ["inspect", str(path), *arguments])

    return call


def test_the_command_prints_for_people(invoke):
    done = invoke(perceptron(), "--dim", "batch=2")
    assert done.exit_code == 0
    assert "float[2,100]" in done.output and "DOT" in done.output and " gas: " in done.stdout


def test_the_command_prints_for_machines(invoke):
    found = json.loads(invoke(perceptron(), "--json").stdout)
    assert found["program_root"] == "0x" + lower(perceptron()).root.hex()
    # With what the model's id is the hash of, which goes with a proof.
    alone = inspected(perceptron()).dearest.gas
    assert alone < found["dearest_gas"] < alone + 40 * 2_000
    assert found["inspection"]["dearest"]["op"] == "dot"


def test_the_command_names_every_reason_at_once(invoke):
    done = invoke(perceptron(10, "Multinomial", "NonZero"), "--json")
    assert done.exit_code == 1
    reasons = json.loads(done.stdout)["refused"]
    assert [(each["node"], each["op"]) for each in reasons] == [
        ("myMultinomial", "Multinomial"),
        ("myNonZero", "NonZero"),
    ]
