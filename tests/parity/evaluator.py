"""The Evaluator and all that it needs on an anvil, and programs to run there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from oracle.exact import binding
from oracle.exact.binding import Binding, Bytes, Piece, Rows, Trees
from oracle.exact.program import Program
from tests.parity.evm import FOLDER, GAS_LIMIT, Contract, compiled_once
from tests.parity.referee import FAMILIES

CODE = "0x000000000000000000000000000000000000c0de"
EVALUATOR = "0x000000000000000000000000000000000000eba1"
_TRANSCENDENTALS = "0x000000000000000000000000000000000000eba2"
_REFEREE = "0x000000000000000000000000000000000000e7ac"
_HARNESS = "0x000000000000000000000000000000000000e7ad"
_SOURCES = {
    "REFEREE": "contracts/Referee.sol",
    "CODE": "contracts/ModelCode.sol",
    "EVALUATOR": "contracts/Evaluator.sol",
    "TRANSCENDENTALS": "contracts/evaluation/Transcendentals.sol",
    "HARNESS": f"{FOLDER}/CallAll.sol",
}
_WRITE = {
    Rows: "writeRows(bytes32,uint256,uint256,uint256,uint256,bytes,bytes32[])",
    Trees: "writeTrees(bytes32,uint256,uint256,uint256,bytes,bytes32[])",
    Bytes: "writeBytes(bytes32,uint256,uint256,bytes,bytes32[])",
}
_BIND = "bind(bytes32,bytes,bytes[],uint256[])"
_INFER = "infer(bytes32,bytes)"
_CALL_ALL = "callAll(address[],bytes[])"
# Of one transaction, which may not take more (EIP-7825), but for what anvil is told.
_TRANSACTION_GAS = 1 << 26


@dataclass(frozen=True, slots=True)
class Call:
    to: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returned with its gas, or the error with which it reverted."""

    data: bytes
    gas: int
    error: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """Gas of what was written for a program, and of its `bind`."""

    root: bytes
    pieces: tuple[int, ...]
    bind: int


class Refused(Exception):
    """A program that is not bound; `error` says why."""

    def __init__(self, error: tuple[object, ...]):
        super().__init__(error)
        self.error = error


class Evaluator:
    def __init__(self, url: str):
        self._contract = Contract(url, "", {})
        self._place()
        accounts: Any = self._contract._rpc("eth_accounts", [])
        self._sender = accounts[0]

    def run(self, program: Program, inputs: Iterable[bytes]) -> list[Answer]:
        """Runs a program that was never bound, and forgets it. Raises Refused."""
        calls = bind_calls(program)
        infers = [infer_call(program.root, payload) for payload in inputs]
        answers = self.calls([*calls, *infers])
        bind = answers[len(calls) - 1]
        # What is missing at the end is missing for an earlier reason.
        if bind.error[:1] == ("MissingPiece",):
            bind = next(answer for answer in answers if answer.error)
        if bind.error:
            raise Refused(bind.error)
        return [_infer_answer(answer) for answer in answers[len(calls) :]]

    def calls(self, calls: Sequence[Call]) -> list[Answer]:
        """Makes calls one after the other, and forgets what they did."""
        arguments = [call.to for call in calls], [call.data for call in calls]
        data = keccak(text=_CALL_ALL)[:4] + encode(["address[]", "bytes[]"], arguments)
        request = {"to": _HARNESS, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
        raw = bytes.fromhex(self._contract._rpc("eth_call", [request, "latest"])[2:])
        rows = zip(*decode(["bool[]", "bytes[]", "uint256[]"], raw), strict=True)
        return [
            Answer(data, gas) if done else Answer(b"", gas, error_of(data))
            for done, data, gas in rows
        ]

    def bind(self, program: Program) -> Bound:
        """Writes a program's pieces and binds it, in transactions."""
        *pieces, bind = [self.send(call) for call in bind_calls(program)]
        return Bound(program.root, tuple(pieces), bind)

    def infer(self, root: bytes, inputs: Iterable[bytes]) -> list[tuple[bytes, int]]:
        """Gives the output of each run with its gas."""
        answers = map(_infer_answer, self.calls([infer_call(root, data) for data in inputs]))
        return [(answer.data, answer.gas) for answer in answers]

    def send(self, call: Call) -> int:
        """Sends a transaction and gives its gas."""
        request = {"from": self._sender, "to": call.to, "data": "0x" + call.data.hex()}
        request["gas"] = hex(_TRANSACTION_GAS)
        sent = self._contract._rpc("eth_sendTransaction", [request])
        receipt: Any = None
        while receipt is None:  # anvil answers before it mines
            receipt = self._contract._rpc("eth_getTransactionReceipt", [sent])
        if receipt["status"] != "0x1":
            [answer] = self.calls([call])
            raise Refused(answer.error)
        return int(receipt["gasUsed"], 16)

    def _place(self) -> None:
        families = {}
        for number, (name, file) in enumerate(FAMILIES.items(), start=0xF1):
            families[name] = "0x" + number.to_bytes(20, "big").hex()
            self._set_code(families[name], f"contracts/ops/{file}.sol", {})
        self._set_code(_REFEREE, _SOURCES["REFEREE"], families)
        self._set_code(CODE, _SOURCES["CODE"], {"REFEREE": _REFEREE})
        self._set_code(_TRANSCENDENTALS, _SOURCES["TRANSCENDENTALS"], {})
        uses = {"CODE": CODE, "TRANSCENDENTALS": _TRANSCENDENTALS}
        self._set_code(EVALUATOR, _SOURCES["EVALUATOR"], uses)
        self._set_code(_HARNESS, _SOURCES["HARNESS"], {})

    def _set_code(self, address: str, source: str, immutables: Mapping[str, str]) -> None:
        artifact = compiled_once(source)
        code = bytearray.fromhex(artifact["deployedBytecode"][2:])
        for name, value in immutables.items():
            for place in artifact["immutableReferences"][name]:
                code[place["start"] : place["start"] + 32] = bytes.fromhex(value[2:]).rjust(
                    32, b"\0"
                )
        self._contract._rpc("anvil_setCode", [address, "0x" + code.hex()])


def bind_calls(program: Program) -> list[Call]:
    """Encodes what writes a program's pieces, and what binds it then."""
    cut = binding.binding(program)
    return [*map(piece_call, cut.pieces), bind_call(program.root, cut)]


def piece_call(piece: Piece) -> Call:
    match piece:
        case Rows():
            numbers = [piece.rows, piece.columns, piece.first, piece.count]
        case Trees():
            numbers = [piece.nodes, piece.first, piece.count]
        case Bytes():
            numbers = [piece.length, piece.index]
    run = b"".join(piece.run.leaves), piece.run.siblings
    return _call(CODE, _WRITE[type(piece)], piece.root, *numbers, *run)


def bind_call(root: bytes, cut: Binding) -> Call:
    return _call(CODE, _BIND, root, cut.records, cut.constants, cut.pasts)


def infer_call(root: bytes, payload: bytes) -> Call:
    return _call(EVALUATOR, _INFER, root, payload)


def error_of(data: bytes) -> tuple[object, ...]:
    """Gives the name of an error and its arguments; the bytes where nobody knows it."""
    known = _errors().get(data[:4])
    if known is None:
        return (data.hex(),)
    name, types = known
    return (name, *decode(types, data[4:]))


def _call(to: str, signature: str, *arguments: object) -> Call:
    types = signature[signature.index("(") + 1 : -1].split(",")
    return Call(to, keccak(text=signature)[:4] + encode(types, arguments))


def _infer_answer(answer: Answer) -> Answer:
    if answer.error:
        return answer
    [output] = decode(["bytes"], answer.data)
    return Answer(output, answer.gas)


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    """The errors of all contracts by their selectors."""
    return {
        keccak(text=f"{name}({','.join(types)})")[:4]: (name, types)
        for name, types in [("Panic", ["uint256"]), *_errors_declared()]
    }


def _errors_declared() -> Iterator[tuple[str, list[str]]]:
    families = [f"contracts/ops/{file}.sol" for file in FAMILIES.values()]
    for source in [*_SOURCES.values(), *families]:
        for entry in compiled_once(source)["abi"]:
            if entry["type"] == "error":
                yield entry["name"], [argument["type"] for argument in entry["inputs"]]
