"""Whole transactions that convict, and the bounds of them."""

from collections.abc import Iterator

import pytest

from oracle.chain import devnet
from oracle.chain.codec import model_preimage
from oracle.exact.program import Op
from oracle.exact.proofs.bounds import bounds
from oracle.exact.proofs.evidence import ClaimKind
from oracle.tensor import Array
from scripts.bench_dispute import Case, Court, case, court_on
from scripts.models import RealModel
from tests.chains import require_anvil
from tests.parity.worst import far_apart
from tests.unit.exact.files import file, node, tensor

LOOSE = 1.5


@pytest.fixture
def url() -> Iterator[str]:
    require_anvil()
    with devnet.anvil() as url:
        yield url


def made(x: Array, op: str, name: str = "x", **options: int) -> Case:
    """A model of `op` and then Tanh; `name` is that of its input."""
    onnx = file(
        [node(op, [name], ["a"], **options), node("Tanh", ["a"], ["y"])],
        [tensor(name, list(x.shape))],
        ["y"],
    )
    return case(RealModel(op, "", lambda: onnx, lambda: (x,)), (Op.TANH,))


@pytest.mark.parametrize("name", ["x", "x" * 12_000], ids=["short", "long"])
@pytest.mark.parametrize(("op", "size"), [("Exp", 4), ("Exp", 30_000), ("ReduceSum", 4_000)])
def test_bounds_hold_and_are_near_in_a_whole_transaction(
    url: str, op: str, size: int, name: str
) -> None:
    options = {"keepdims": 1} if op == "ReduceSum" else {}
    found = made(far_apart((1, size)), op, name, **options)
    court: Court = court_on(url)  # nobody in it was ever rewarded
    proven = court.prove(found, op, 0).step
    preimage = model_preimage(court.model(found))
    [bound] = [each for each in bounds(found.program, 0, preimage) if each.kind is ClaimKind.VALUE]
    assert proven.gas <= bound.gas <= LOOSE * proven.gas
    assert proven.size <= bound.size <= LOOSE * proven.size
