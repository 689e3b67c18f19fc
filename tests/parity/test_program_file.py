"""Program files against the referee: what it judges, Python runs, and to the same bits. Whatever
Python refused and the referee judged, a liar alone could answer about."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oracle.errors import ModelRefused
from oracle.exact.program import Constant, Op, Program
from oracle.exact.program_file import pack, read
from oracle.tensor import Array, dtype_of
from tests.parity import programs
from tests.parity.referee import Judged, Referee

COUNTS = [12, pytest.param(1_000, marks=pytest.mark.long)]
MUTANTS = 6  # of one program
WORD = 32
Rng = np.random.Generator


# Of these nobody can run the program, whoever published it; docs/exact.md says what that means.
NOT_TO_BE_HAD = (
    "the constant of root 0x",  # which is in no file, for nobody knows what has that hash
    "an operand reads",  # a value with other elements than it has: a proof sees some of them
    "multiply-adds",  # more than anybody's limit
    "a walk may take more than",  # and the referee judges those that take fewer
)


def opened(program: Program, folder: Path) -> Program | str:
    """The program that its file holds, or why it holds none."""
    path = folder / "program.safetensors"
    path.write_bytes(pack(program))
    try:
        return read(path)
    except ModelRefused as refused:
        return refused.reasons[0].why


def some(rng: Rng, op: Op) -> tuple[Program, list[Array]]:
    while True:
        program, inputs = programs.MAKERS[op.family](rng, op)
        if program.nodes[-1].output.elements:
            return program, inputs


def verdicts(
    referee: Referee, program: Program, inputs: Sequence[Array], element: int
) -> list[tuple[object, ...]]:
    """What the referee says of an element claimed rightly and wrongly, where that is not the
    law's."""
    judged = Judged(program, inputs, plain=True)
    node = len(program.nodes) - 1
    return referee.differing(judged, node, [element, element])


# Constants as they stand


def odd(rng: Rng, constant: Constant) -> Constant:
    """The same numbers, some of them not in their canonical form."""
    array = constant.array
    if array.dtype == np.float32:
        raw = array.view(np.uint32).copy()
        zeros, nans = raw == 0, np.isnan(array)
        raw[zeros] |= rng.choice([0, 0x80000000], int(zeros.sum())).astype(np.uint32)
        raw[nans] = rng.integers(0x7F800001, 0x80000000, int(nans.sum()), np.uint32)
        return Constant(array, constant.type, raw)
    if array.dtype == np.bool_:
        raw = array.astype(np.uint8)
        raw[array] = rng.integers(1, 256, int(array.sum()), np.uint8)
        return Constant(array, constant.type, raw)
    return constant


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_judge_and_read_take_constants_as_they_stand(
    referee: Referee, op: Op, count: int, rng: Rng, tmp_path: Path
) -> None:
    for _ in range(count):
        program, inputs = some(rng, op)
        stands = replace(program, constants=tuple(odd(rng, each) for each in program.constants))
        element = int(rng.integers(program.nodes[-1].output.elements))

        found = opened(stands, tmp_path)

        assert isinstance(found, Program) and found.root == stands.root
        assert verdicts(referee, found, inputs, element) == []


# Records of which a bit is another


def mutated(rng: Rng, program: Program) -> Program:
    """The last node's record has other bits: one anywhere, a number beside the right one, another
    word of it, or another op."""
    records = list(program.records)
    record = bytearray(records[-1])
    word = int(rng.integers(1, len(record) // WORD)) * WORD
    match int(rng.integers(4)):
        case 3:
            record[WORD : WORD + 4] = int(rng.choice(list(Op))).to_bytes(4, "big")
        case 0:
            record[word + int(rng.integers(WORD))] ^= 1 << int(rng.integers(8))
        case 1:
            number = int.from_bytes(record[word : word + WORD], "big") + int(rng.integers(-2, 3))
            record[word : word + WORD] = (number % (1 << 256)).to_bytes(WORD, "big")
        case 2:
            other = int(rng.integers(1, len(record) // WORD)) * WORD
            record[word : word + WORD] = record[other : other + WORD]
    records[-1] = bytes(record)
    return replace(program, stored_records=tuple(records))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_judge_gives_no_verdict_on_what_read_refuses(
    referee: Referee, op: Op, count: int, rng: Rng, tmp_path: Path
) -> None:
    for _ in range(count):
        program, inputs = some(rng, op)
        element = int(rng.integers(program.nodes[-1].output.elements))
        for _ in range(MUTANTS):
            changed = mutated(rng, program)
            found = opened(changed, tmp_path)
            if isinstance(found, str):
                if any(words in found for words in NOT_TO_BE_HAD):
                    continue
                judged = Judged(changed, inputs, plain=True)
                node = len(changed.nodes) - 1
                [answer] = referee.judge([judged.honest(node, element)])
                assert answer.error, (op.name, found, changed.records[-1].hex(), element)
            elif fits(found, inputs):
                place = element % max(1, found.nodes[-1].output.elements)
                assert verdicts(referee, found, inputs, place) == [], found.records


def fits(program: Program, inputs: Sequence[Array]) -> bool:
    """Says whether these inputs are still the program's, and there is an element to claim."""
    types = [(each.dtype, each.shape) for each in program.signature.inputs]
    given = [(dtype_of(array), array.shape) for array in inputs]
    return types == given and program.nodes[-1].output.elements > 0
