"""What stands in for a second opinion: it lets right runs pass, and sees a wrong kernel."""

import numpy as np
import pytest
from hypothesis import given

from oracle.errors import RunsDiffer
from oracle.exact.lowering.graph import lower
from oracle.exact.proofs import sample
from oracle.exact.proofs.sample import check
from oracle.exact.run import Runner
from oracle.tensor import Array, decode
from tests.unit.exact.files import file, node, tensor
from tests.unit.exact.programs import Run, runs

SEED = bytes(range(32))


@given(runs())
def test_check_passes_a_right_run(run: Run) -> None:
    runner = Runner(run.program)
    inputs = decode(run.payload, run.program.signature.inputs)
    check(runner, inputs, runner.infer(run.payload), SEED)


class Faulty(Runner):
    """Its kernels give the values of node 1 a wrong last bit, and go on with that."""

    place = 0

    def values(self, inputs):
        for index, value in enumerate(super().values(inputs)):
            if index == 1:
                value = np.array(value)
                value.view(np.uint32).reshape(-1)[self.place] ^= 1
            yield value


def chain() -> bytes:
    nodes = [node("Exp", ["x"], ["a"]), node("Add", ["a", "x"], ["b"]), node("Tanh", ["b"], ["y"])]
    return file(nodes, [tensor("x", [40])], ["y"])


@pytest.mark.parametrize("place", [0, 39])
def test_check_sees_a_wrong_value(place: int) -> None:
    runner = Faulty(lower(chain()))
    runner.place = place
    x = np.linspace(-1, 1, 40, dtype=np.float32)
    with pytest.raises(RunsDiffer, match=f"Element {place} of node 1 .ADD. is 0x.* by our"):
        check(runner, [x], runner.infer(x.astype(">f4").tobytes()), SEED)


def test_check_sees_another_output() -> None:
    runner = Runner(lower(chain()))
    x: Array = np.zeros(40, np.float32)
    with pytest.raises(RunsDiffer, match="different outputs"):
        check(runner, [x], bytes(160), SEED)


def test_check_looks_at_outputs_first_where_it_cannot_look_at_all(monkeypatch) -> None:
    program = lower(chain())
    monkeypatch.setattr(sample, "MOST_READS", 5)
    assert list(sample._chosen(program, np.random.default_rng(1))) == [2]
