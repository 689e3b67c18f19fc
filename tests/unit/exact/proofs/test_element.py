"""One element by the plain rules is the plain kernel's, of every primitive."""

from importlib import import_module

import numpy as np
import pytest

from oracle.exact.program import Family, Op, OperandKind, Program
from oracle.exact.proofs import element, reads
from oracle.exact.proofs.element import plain_element, reads_of
from oracle.exact.run import Runner
from oracle.tensor import Array
from tests.oracles import same
from tests.parity import programs

COUNTS = [300, pytest.param(20_000, marks=pytest.mark.long)]


def operands_of(program: Program, inputs: list[Array]) -> tuple[list[Array], Array]:
    """The last node's operands, and its value by the plain kernels."""
    values = list(Runner(program, plain=True).values(inputs))
    found = {
        OperandKind.INPUT: inputs,
        OperandKind.CONSTANT: [constant.array for constant in program.constants],
        OperandKind.VALUE: values,
    }
    node = program.nodes[-1]
    return [found[o.kind][o.index].reshape(o.type.shape) for o in node.operands], values[-1]


def test_every_family_has_rules_for_elements_and_for_reads() -> None:
    assert [*element.RULES] == [*reads.RULES] == [*Family]


@pytest.mark.parametrize("family", Family, ids=lambda family: family.name)
def test_a_family_is_the_file_of_its_primitives(family: Family) -> None:
    module = import_module(f"oracle.exact.ops.{family.name.lower()}")

    assert {each.op for each in module.PRIMITIVES} == {op for op in Op if op.family is family}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_plain_element_is_that_of_the_plain_kernel(op: Op, count: int) -> None:
    rng = np.random.default_rng(op)
    while count > 0:
        program, inputs = programs.MAKERS[op.family](rng, op)
        operands, value = operands_of(program, inputs)
        elements = rng.permutation(value.size)[:40]
        for at in elements.tolist():
            found = plain_element(program.nodes[-1], at, operands)
            assert same(found, value.reshape(-1)[at : at + 1])
        count -= max(1, len(elements))


@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_reads_of_is_no_less_than_what_is_read(op: Op) -> None:
    rng = np.random.default_rng(op)
    for _ in range(20):
        program, inputs = programs.MAKERS[op.family](rng, op)
        operands, value = operands_of(program, inputs)
        node = program.nodes[-1]

        def look(operand: int, at: int, operands: list[Array] = operands) -> int:
            found = operands[operand].reshape(-1)[at : at + 1]
            return int(found.view("u4")[0] if found.dtype.kind == "f" else found[0])

        if value.size and op is not Op.TREE_WALK:
            read = sum(each.count for each in reads.reads(node, 0, look))
            assert read <= reads_of(node)
