"""A node as we ask it: what it refuses, what it reverts, what it answers when it is broken."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from eth_abi import encode

from oracle.chain.connection import connect
from oracle.chain.node import Call
from oracle.chain.watcher import Watcher
from oracle.errors import ChainError, NotFound, OracleError, Reorganised, Reverted, RpcUnavailable
from oracle.types import Address, Wei
from tests import chains
from tests.chains import ETHER, FEE, PAYLOAD, World, address, amounts, model, options
from tests.reverts import ERROR, NO_TEXT, PANIC, refusal, reverts_with

# Reverts.


def test_call_raises_a_custom_error_with_its_values(world: World) -> None:
    call = world.queue.request(world.publish(), PAYLOAD, FEE, options(bond=Wei(7)))

    error = refusal(world, call)

    assert (error.name, error.values) == ("BondTooSmall", {"bond": 7, "minimum": 10**15})


def test_call_raises_an_error_that_holds_text(world: World) -> None:
    call = world.registry.publish(model(address("stranger"), name=""), "")

    error = refusal(world, call)

    assert (error.name, error.values) == ("EmptyField", {"field": "name"})


@pytest.mark.parametrize(
    ("data", "name", "values"),
    [
        (b"", "Unknown", {"data": "0x"}),
        (PANIC + encode(["uint256"], [0x12]), "Panic", {"code": 0x12}),
        (ERROR + encode(["string"], ['it\'s "so"']), "Error", {"reason": 'it\'s "so"'}),
        (ERROR + encode(["string"], [""]), "Error", {"reason": ""}),
        (b"\x01\x02\x03\x04'\"", "Unknown", {"data": "0x010203042722"}),
    ],
    ids=["nothing", "panic", "reason", "no reason", "unknown"],
)
def test_call_raises_what_any_contract_reverts_with(
    world: World, data: bytes, name: str, values: dict[str, Any]
) -> None:
    contract = world.send("stranger", Call(None, reverts_with(data))).contract

    error = refusal(world, Call(contract, b""))

    assert (error.name, error.values) == (name, values)


def test_call_raises_malformed_when_a_reason_is_no_text(anvil: World, embedded: World) -> None:
    for world, data in (
        (anvil, NO_TEXT),
        (embedded, b"\xff"),
    ):
        contract = world.send("stranger", Call(None, reverts_with(NO_TEXT))).contract

        error = refusal(world, Call(contract, b""))

        assert (error.name, error.values) == ("Malformed", {"data": "0x" + data.hex()})


@pytest.mark.parametrize("data", [PANIC, PANIC + encode(["uint256"], [0x99])])
def test_call_raises_a_panic_that_solidity_does_not_know(anvil: World, data: bytes) -> None:
    contract = anvil.send("stranger", Call(None, reverts_with(data))).contract

    with pytest.raises(ChainError):
        anvil.chain.call(Call(contract, b""))


def test_estimate_raises_when_the_call_fits_no_block(anvil: World) -> None:
    burns = anvil.send("stranger", Call(None, bytes.fromhex("60fe5f5360015ff3"))).contract

    with pytest.raises(ChainError):
        anvil.chain.estimate(Call(burns, b""), address("stranger"))


# Reorganisations.


@pytest.fixture
def lone_anvil() -> Iterator[World]:
    """One of its own: what a reorganisation leaves behind cannot be undone."""
    with chains.anvil() as world:
        yield world


def watcher(world: World) -> Watcher:
    return Watcher(world.chain, world.deployment, confirmations=0)


def test_steps_raise_when_blocks_are_replaced(lone_anvil: World) -> None:
    lone_anvil.stake(amount=1)
    *_, last = watcher(lone_anvil).steps(None)
    lone_anvil.chain.rpc("anvil_reorg", [2, []])

    with pytest.raises(Reorganised):
        list(watcher(lone_anvil).steps(last.cursor))


def test_steps_raise_when_blocks_are_rolled_back_and_others_mined(lone_anvil: World) -> None:
    lone_anvil.stake(amount=1)
    *_, last = watcher(lone_anvil).steps(None)
    lone_anvil.chain.rpc("anvil_rollback", [1])
    assert list(watcher(lone_anvil).steps(last.cursor)) == []
    lone_anvil.stake(amount=2)

    with pytest.raises(Reorganised):
        list(watcher(lone_anvil).steps(last.cursor))


def test_steps_go_on_when_only_unread_blocks_are_replaced(lone_anvil: World) -> None:
    lone_anvil.stake(amount=1)
    patient = Watcher(lone_anvil.chain, lone_anvil.deployment, confirmations=2)
    *_, last = patient.steps(None)
    lone_anvil.chain.rpc("anvil_reorg", [1, []])
    lone_anvil.stake(amount=2)

    assert list(patient.steps(last.cursor))


def test_steps_pass_over_many_empty_blocks(lone_anvil: World) -> None:
    *_, last = watcher(lone_anvil).steps(None)
    lone_anvil.chain.rpc("anvil_mine", [hex(45)])
    lone_anvil.stake(amount=3)

    narrow = Watcher(lone_anvil.chain, lone_anvil.deployment, 0, span=20, near=0)
    steps = list(narrow.steps(last.cursor))

    assert len(steps) == 3
    assert amounts(steps) == [3]


# Questions.


def test_block_is_not_found_beyond_the_head(world: World) -> None:
    with pytest.raises(NotFound):
        world.chain.block(10**9)


def test_transaction_is_unknown_before_it_is_sent(world: World) -> None:
    assert not world.chain.knows(b"\x01" * 32)
    assert world.chain.receipt(b"\x01" * 32) is None


def test_fees_are_enough_for_a_full_block_and_more(world: World) -> None:
    fees = world.chain.fees()

    assert fees.priority is not None and fees.maximum >= fees.priority > 0
    assert fees.maximum >= world.chain.gas_price()


def test_balance_falls_by_value_and_gas(world: World) -> None:
    before = world.chain.balance(address("operator"))
    receipt = world.send("operator", world.queue.stake(Wei(5)))

    paid = 5 + receipt.gas_used * receipt.gas_price
    assert world.chain.balance(address("operator")) == before - paid


def test_rpc_raises_what_the_node_refuses(anvil: World) -> None:
    with pytest.raises(ChainError, match="refused no_such_method"):
        anvil.chain.rpc("no_such_method", [])


# Nodes that are none.


@pytest.mark.parametrize(
    "url", ["", "localhost:8545", "ftp://host", "http://", "ws://", "http:///path"]
)
def test_connect_refuses_what_is_no_url(url: str) -> None:
    with pytest.raises(RpcUnavailable, match="is no RPC URL"):
        connect(url)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("foo", "'foo'"), ("host.example/v3/s3cret", "'host.example'"), ("u:s3cret@host", "'host'")],
)
def test_connect_shows_what_is_no_url_without_its_secrets(text: str, shown: str) -> None:
    with pytest.raises(RpcUnavailable, match=f"^{shown} is no RPC URL") as refused:
        connect(text)
    assert "s3cret" not in str(refused.value)


def test_estimate_says_what_the_node_says(anvil: World) -> None:
    """Not what web3 does, which is to look at the logs."""
    poor = Address("0x" + "11" * 20)
    with pytest.raises(ChainError, match="(?i)insufficient funds"):
        anvil.chain.estimate(anvil.queue.stake(Wei(ETHER)), poor)


def test_an_answer_of_brackets_is_an_expected_error() -> None:
    """A library of web3's lets Python recurse until the stack of C overflows."""
    with server(200, b"[" * 100_000) as url, pytest.raises(ChainError):
        connect(url)


@pytest.mark.parametrize(
    "missing", ["timestamp", "hash", "parentHash"], ids=lambda name: f"no {name}"
)
def test_a_block_that_lacks_something_is_an_expected_error(anvil: World, missing: str) -> None:
    class Forgetful:
        def get_block(self, number: object) -> dict[str, object]:
            return {**anvil.chain.web3.eth.get_block(number), missing: None}  # type: ignore[arg-type]

    class Broken:
        eth = Forgetful()

    broken = copy(anvil.chain)
    broken.web3 = Broken()  # type: ignore[assignment]
    with pytest.raises(ChainError, match="cannot be read"):
        broken.block("latest")


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_connect_says_that_nobody_answers_and_masks_the_url(scheme: str) -> None:
    with pytest.raises(RpcUnavailable) as refused:
        connect(f"{scheme}://user:s3cret@127.0.0.1:1/v3/apikey?token=t0ken")

    message = str(refused.value)
    assert f"{scheme}://127.0.0.1:1 does not answer" in message
    assert not any(secret in message for secret in ("s3cret", "apikey", "t0ken", "user"))


@contextmanager
def server(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"not here"),
        (200, b"<html>a captive portal</html>"),
        (200, b""),
        (200, b"[]"),
        (200, b"null"),
        (200, b"3"),
        (200, b"{}"),
        (200, json.dumps({"jsonrpc": "2.0", "id": 0}).encode()),
        (200, json.dumps({"jsonrpc": "2.0", "id": 0, "result": "nonsense"}).encode()),
        (200, json.dumps({"jsonrpc": "2.0", "id": 0, "result": None}).encode()),
        (200, json.dumps({"jsonrpc": "2.0", "id": 0, "error": "text"}).encode()),
        (200, json.dumps({"jsonrpc": "2.0", "id": 0, "error": {"code": 5}}).encode()),
        (200, json.dumps({"error": {"code": -32005, "message": "limit exceeded"}}).encode()),
    ],
)
def test_connect_raises_an_expected_error_whatever_the_answer(status: int, body: bytes) -> None:
    with server(status, body) as url, pytest.raises(OracleError) as refused:
        connect(url)

    assert not isinstance(refused.value, Reverted)
