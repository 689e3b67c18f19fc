"""Roots: the same for everybody, and bound to everything."""

from dataclasses import replace

import numpy as np
import pytest

from oracle import merkle
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Op, Operand, OperandKind, Program, ValueType
from oracle.types import DType
from tests import openings
from tests.unit.exact.files import classifier, file, node, tensor

GOLDEN = "38ceae8e382435ccd448bac863c4ba36d5ff865443d827e8cdc5bf32ebd52e90"
GOLDEN_TREES = "9931b882d6ac07223f41513405c4ac8f51f5661aab79370ef306e6cd3a8693fb"


def perceptron() -> bytes:
    """Two layers with fixed weights; one of each kind of operand and a Softmax."""
    nodes = [
        node("Gemm", ["x", "w", "b"], ["a"], transB=1),
        node("Relu", ["a"], ["r"]),
        node("MatMul", ["r", "v"], ["m"]),
        node("Softmax", ["m"], ["y"], axis=-1),
    ]
    weights = (np.arange(12, dtype=np.float32).reshape(4, 3) - 5) / 8
    return file(
        nodes,
        [tensor("x", [2, 3])],
        [tensor("y", [2, 2])],
        w=weights,
        b=np.array([0.5, -0.5, 0.25, -0.0], np.float32),
        v=np.arange(8, dtype=np.float32).reshape(4, 2) / 16,
    )


def test_root_is_the_committed_one():
    """If this fails, a lowering changed, or else a primitive or the encoding: docs/exact.md, *The
    law's version*, says what that means."""
    assert lower(perceptron()).root.hex() == GOLDEN


def test_root_of_trees_is_the_committed_one():
    model = file([classifier([0, 0], [-0.5, 0.5])], [tensor("x", [1, 1])], ["label", "y"])
    assert lower(model).root.hex() == GOLDEN_TREES


def test_root_is_the_same_every_time():
    assert lower(perceptron()).root == lower(perceptron()).root


def test_root_does_not_depend_on_names():
    renamed = perceptron().replace(b"myGemm", b"MyGemm")
    assert lower(renamed).root == lower(perceptron()).root


def test_root_opens_to_every_node():
    program = lower(perceptron())
    for index, record in enumerate(program.records):
        opening = openings.open_record(program.records, index)
        assert opening.record == record
        assert merkle.verify_record(program.root, len(program.nodes) + 1, opening)


def changed(program: Program) -> list[Program]:
    """One program for each thing that a root must bind."""
    first = program.nodes[0]
    weights = program.constants[0].array + np.float32(1)
    constant = replace(program.constants[0], array=weights)
    operand = Operand(OperandKind.VALUE, 0, ValueType(DType.FLOAT, (4, 2)))
    (x,) = program.signature.inputs
    nodes = [
        replace(first, op=Op.ADD),
        replace(first, attributes=(1,)),
        replace(first, output=ValueType(DType.FLOAT, (4, 2))),
        replace(first, operands=first.operands[:-1]),
        replace(first, operands=(operand, *first.operands[1:])),
        replace(first, operands=(first.operands[1], first.operands[0], *first.operands[2:])),
    ]
    return [
        *(replace(program, nodes=(changed, *program.nodes[1:])) for changed in nodes),
        replace(program, nodes=program.nodes[::-1]),
        replace(program, constants=(constant, *program.constants[1:])),
        replace(program, outputs=(operand,)),
        replace(program, outputs=program.outputs * 2),
        replace(program, law_version=2),
        replace(program, signature=replace(program.signature, inputs=(replace(x, shape=(3, 2)),))),
        replace(
            program, signature=replace(program.signature, inputs=(replace(x, dtype=DType.INT32),))
        ),
    ]


def test_root_binds_everything_that_a_result_depends_on():
    program = lower(perceptron())
    roots = [program.root, *(other.root for other in changed(program))]
    assert len(set(roots)) == len(roots)


def test_records_are_words_and_no_record_can_pass_for_a_leaf_or_an_inner_node():
    for record in lower(perceptron()).records:
        assert len(record) % 32 == 0 and len(record) >= 160


def test_records_hold_what_the_specification_says():
    program = lower(perceptron())
    header, first = program.records[:2]
    assert header[:32] == merkle.keccak256(b"exactum.program")
    assert header[32:64].hex() == (1).to_bytes(8, "big").hex() + "".join(
        count.to_bytes(8, "big").hex() for count in (len(program.nodes), 1, 1)
    )
    assert header[64:96].hex() == "01" + "02" + "00000002" + "00000003" + "00" * 22
    assert first[:32] == merkle.keccak256(b"exactum.node")
    assert first[32:64].hex() == "00000100" + "00" * 8 + "00000003" + "00000000" + "00" * 12
    assert first[64:96].hex() == "01" + "02" + "00000002" + "00000004" + "00" * 22
    reference, type_, root = (first[192 + at : 224 + at] for at in (0, 32, 64))
    assert reference.hex() == "01" + "00000000" + "00" * 27
    assert type_.hex() == "01" + "02" + "00000004" + "00000003" + "00" * 22
    assert root == merkle.tensor_root(program.constants[0].array)


def test_constants_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        lower(perceptron()).constants[0].array[0] = 1
