"""The bounds of transactions' sizes, held against transactions as they are signed."""

import pytest
from eth_utils import to_checksum_address

from oracle.chain.answers import AnswerSignature
from oracle.chain.contracts import Queue
from oracle.chain.deployment import Deployed, Deployment
from oracle.chain.node import Call, Chain, Fees
from oracle.chain.sizes import answer_sizes
from oracle.chain.transactions import MOST_GAS, _transaction
from oracle.types import Address, ModelTerms, Proposal, Request, Wei
from tests.chains import PEOPLE, address, request

MOST = (1 << 64) - 1
DEAREST = Fees(Wei((1 << 96) - 1), Wei((1 << 96) - 1))
SLACK = 20  # bytes
LENGTHS = (0, 1, 32, 33, 8_000)


@pytest.fixture
def queue() -> Queue:
    there = Deployed(Address(to_checksum_address("0x" + "ff" * 20)), 0, None, "", (), "")
    names = "ModelRegistry", "InferenceQueue"
    chain: Chain = object.__new__(Chain)  # which is asked nothing
    return Queue(chain, Deployment(1, {name: there for name in names}))


def size(call: Call) -> int:
    """Of the transaction with the largest numbers that there are."""
    raw, _ = PEOPLE["operator"].sign(_transaction(MOST, call, MOST, MOST_GAS, DEAREST))
    return len(raw)


def asked(length: int, **changes: object) -> Request:
    terms = ModelTerms(address("publisher"), Wei(10**12), 8, length, True, True)
    return request(terms=terms, max_output_length=length, **changes)


def proposal(length: int) -> Proposal:
    return Proposal(address("operator"), 2**32 - 1, 2**63, 2**63, length, True)


@pytest.mark.parametrize("length", LENGTHS)
def test_answer_sizes_bound_both_transactions(queue: Queue, length: int) -> None:
    what, output = asked(length), b"\xff" * length
    propose, settle = answer_sizes(length)
    _, called_back = answer_sizes(length, has_callback=True)
    signature = AnswerSignature(b"\xff" * 32, b"\xff" * 32)
    signed = queue.propose_signed(what, address("operator"), output, signature)

    assert size(queue.propose([(what, output)])) <= propose
    # And not by much: all numbers are as large as they can be.
    assert 0 <= propose - size(signed) < SLACK
    assert 0 <= settle - size(queue.settle_by_root([(what, proposal(length), output)])) < SLACK
    assert 0 <= called_back - size(queue.settle([(what, proposal(length), output)])) < SLACK


@pytest.mark.parametrize("count", [2, 3, 50])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_batch_is_no_longer_than_its_requests_alone(
    queue: Queue, length: int, count: int
) -> None:
    results = [(asked(length), proposal(length), b"\xff" * length)] * count
    propose, settle = answer_sizes(length)
    _, called_back = answer_sizes(length, has_callback=True)

    assert size(queue.propose([(what, output) for what, _, output in results])) <= count * propose
    assert size(queue.settle_by_root(results)) <= count * settle
    assert size(queue.settle(results)) <= count * called_back


def test_what_came_with_its_answer_is_settled_alone() -> None:
    _, settle = answer_sizes(64)

    assert answer_sizes(64, is_callers=True) == (settle,)
