"""The referee's contracts on an anvil, and runs of programs to judge there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from oracle import merkle
from oracle.exact.program import Op, Program
from oracle.exact.proofs.evidence import ClaimKind, Payloads, Sources, WholeTrace, build
from oracle.exact.proofs.trace import trace, trace_root
from oracle.exact.run import Runner
from oracle.merkle import LEAF, Levels, Run
from oracle.tensor import Array, canonical
from oracle.types import DType
from tests.parity.evm import FOLDER, GAS_LIMIT, Contract, compiled_once

FAMILIES = {
    "LINEAR": "Linear",
    "ELEMENTWISE": "Elementwise",
    "TRANSCENDENTAL": "Transcendental",
    "REDUCE": "Reduce",
    "MOVEMENT": "Movement",
    "WINDOW": "Window",
    "TREES": "Trees",
    "QUANTIZED": "Quantized",
    "FUNCTIONS": "Functions",
}
# Of TOP_K, where the claimed place is wrong.
NO_PLACE = 2**256 - 1
_REFEREE = "0x000000000000000000000000000000000000e7ac"
_HARNESS = "0x000000000000000000000000000000000000e7ad"
_CLAIM = "(bytes32,bytes32,bytes32,uint256,bytes32,uint256)"
_JUDGE_ALL = f"judgeAll(address,{_CLAIM}[],bytes[])"
# Of one call, so that the encoding of it fits into memory.
_BATCH_BYTES = 8_000_000
ERRORS = {
    keccak(text=signature)[:4]: signature
    for signature in (
        "UnknownOp(uint256)",
        "WrongProof(string,uint256)",
        "NoTraceRoot()",
        "WrongElement(uint256,uint256,uint256)",
        "WrongNode(uint256,string)",
        "Undecided(uint256,uint256,uint256)",
        "NotEmpty(uint256,bytes32,bytes32)",
        "BeyondTree(uint256,uint256,uint256)",
        "Panic(uint256)",
    )
}


@dataclass(frozen=True)
class Case:
    """One call of `judge`."""

    claim: tuple[bytes, bytes, bytes, int, bytes, int]
    proof: bytes


@dataclass(frozen=True)
class Answer:
    """A verdict, or the error that there was none with."""

    claimed: int = 0
    expected: int = 0
    gas: int = 0
    error: tuple[object, ...] = ()


class Referee:
    """The contracts, as they would be deployed."""

    def __init__(self, url: str):
        self._contract = Contract(url, "", {})

    def differing(
        self, judged: "Judged", node: int, elements: Sequence[int]
    ) -> list[tuple[object, ...]]:
        """Judges elements of a node, every other one claimed wrongly; what is found that is not the
        law, with what should have been."""
        cases, wanted = judged.some(node, elements)
        rows = zip(elements, self.judge(cases), wanted, strict=True)
        return [row for row in rows if row[1].error or (row[1].claimed, row[1].expected) != row[2]]

    def judge(self, cases: Sequence[Case]) -> list[Answer]:
        answers: list[Answer] = []
        batch: list[Case] = []
        size = 0
        for case in cases:
            batch.append(case)
            size += len(case.proof)
            if size > _BATCH_BYTES:
                answers += self._judge(batch)
                batch, size = [], 0
        return answers + (self._judge(batch) if batch else [])

    def _judge(self, cases: Sequence[Case]) -> list[Answer]:
        columns = [case.claim for case in cases], [case.proof for case in cases]
        types = ["address", f"{_CLAIM}[]", "bytes[]"]
        data = keccak(text=_JUDGE_ALL)[:4] + encode(types, (_REFEREE, *columns))
        call = {"to": _HARNESS, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
        answer = self._contract._rpc("eth_call", [call, "latest", self._code])
        raw, gas = decode(["bytes[]", "uint256[]"], bytes.fromhex(answer[2:]))
        return [_answer(*pair) for pair in zip(raw, gas, strict=True)]

    @cached_property
    def _code(self) -> dict[str, dict[str, str]]:
        state = {}
        artifact = compiled_once("contracts/Referee.sol")
        code = bytearray.fromhex(artifact["deployedBytecode"][2:])
        for number, (name, contract) in enumerate(FAMILIES.items(), start=1):
            address = bytes(19) + bytes([number + 0xF0])
            family = compiled_once(f"contracts/ops/{contract}.sol")
            state["0x" + address.hex()] = {"code": family["deployedBytecode"]}
            for place in artifact["immutableReferences"][name]:
                code[place["start"] : place["start"] + 32] = address.rjust(32, b"\0")
        state[_REFEREE] = {"code": "0x" + code.hex()}
        state[_HARNESS] = {"code": compiled_once(f"{FOLDER}/RefereeParity.sol")["deployedBytecode"]}
        return state


def _answer(raw: bytes, gas: int) -> Answer:
    if len(raw) == 128:
        _, _, claimed, expected = decode(["uint256"] * 4, raw)
        return Answer(claimed, expected, gas)
    signature = ERRORS.get(raw[:4], "")
    if not signature:
        return Answer(gas=gas, error=(raw.hex(),))
    name, types = signature[:-1].split("(")
    return Answer(gas=gas, error=(name, *decode(types.split(",") if types else [], raw[4:])))


class Lie(WholeTrace):
    """An operator one element of whose trace is something else."""

    def __init__(self, honest: "Judged", node: int, element: int, bits: int):
        super().__init__(honest.trace, honest.inputs, honest.payloads)
        type_ = honest.program.nodes[node].output
        size = type_.dtype.itemsize
        leaf, at = divmod(element * size, LEAF)
        run = honest.sources.claimed_run(node, leaf)
        data = bytearray(run.leaves[0])
        data[at : at + size] = bits.to_bytes(size, "big")
        self._lie = Run(leaf, (bytes(data),), run.siblings)
        root = merkle.run_root(type_.nbytes, self._lie)
        assert root is not None
        self._roots = list(honest.trace.roots)
        self._roots[node] = root
        self._tree = Levels(self._roots, bytes(32))
        self.root = trace_root(honest.program.root, self._roots)

    def value_root(self, value: int) -> bytes:
        return self._roots[value]

    def value_path(self, value: int) -> Sequence[bytes]:
        return self._tree.nodes(0, value, 1).siblings

    def claimed_run(self, _value: int, _leaf: int) -> Run:
        return self._lie


class Judged:
    """One run of a program, whose elements may be claimed rightly or wrongly."""

    def __init__(self, program: Program, inputs: Sequence[Array], *, plain: bool = False):
        self.program = program
        self.inputs = list(inputs)
        self.trace = trace(Runner(program, plain=plain), inputs)
        self.payloads = Payloads(
            b"".join(map(raw_bytes, inputs)),
            b"".join(raw_bytes(self.trace.values[each.index]) for each in program.outputs),
        )
        self.sources = WholeTrace(self.trace, inputs, self.payloads)

    def bits(self, node: int, element: int) -> int:
        """The law's."""
        return bits_at(canonical(self.trace.values[node]), element)

    def honest(self, node: int, element: int) -> Case:
        return self.case(node, element, self.trace.root, self.sources)

    def lie(self, node: int, element: int, bits: int) -> Case:
        """As an operator whose element is another, and who commits to that."""
        lie = Lie(self, node, element, bits)
        return self.case(node, element, lie.root, lie)

    def some(self, node: int, elements: Sequence[int]) -> tuple[list[Case], list[tuple[int, int]]]:
        """Elements claimed rightly and wrongly by turns, and what a verdict must say."""
        record = self.program.nodes[node]
        cases, wanted = [], []
        for at, element in enumerate(elements):
            bits = self.bits(node, element)
            if at % 2 == 0:
                cases.append(self.honest(node, element))
                wanted.append((bits, bits))
                continue
            claimed = off_by_one(bits, record.output.dtype)
            cases.append(self.lie(node, element, claimed))
            wanted.append((claimed, NO_PLACE if record.op is Op.TOP_K else bits))
        return cases, wanted

    def shown(self, output: int, element: int) -> Case:
        """As an operator who is right, about an element of an output's payload."""
        node = self.program.outputs[output].index
        proof = build(self.program, node, element, self.sources, ClaimKind.OUTPUT, output)
        return Case(self._claim(self.trace.root), proof)

    def case(self, node: int, element: int, root: bytes, sources: Sources) -> Case:
        proof = build(self.program, node, element, sources)
        return Case(self._claim(root), proof)

    def _claim(self, root: bytes) -> tuple[bytes, bytes, bytes, int, bytes, int]:
        asked, answered = self.payloads.input, self.payloads.output
        roots = map(merkle.payload_root, (asked, answered))
        return self.program.root, root, next(roots), len(asked), next(roots), len(answered)


def raw_bytes(array: Array) -> bytes:
    """Big-endian as they are: a payload may have what is not canonical."""
    return array.astype(array.dtype.newbyteorder(">")).tobytes()


def bits_at(array: Array, element: int) -> int:
    return int.from_bytes(raw_bytes(array.reshape(-1)[element : element + 1]), "big")


def off_by_one(bits: int, dtype: DType) -> int:
    """The next number: an ulp, or an integer; of a bool the other one."""
    if dtype is DType.BOOL:
        return bits ^ 1
    if dtype is DType.FLOAT:
        return 0x3F800000 if bits in (0x7FC00000, 0x7F800000) else bits + 1
    return (bits + 1) % (1 << 8 * dtype.itemsize)
