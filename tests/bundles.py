"""Bundles of evidence about answers of `tests.networks`, with no chain."""

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi import encode
from eth_utils import keccak

from oracle.audit.bundle import Bundle, Reference, References
from oracle.chain.codec import model_words, request_id
from oracle.exact.proofs.evidence import Payloads
from oracle.exact.proofs.trace import trace
from oracle.exact.run import Runner
from oracle.inference import testimony
from oracle.inference.engine import Engines, Job, do
from oracle.merkle import payload_root
from oracle.tensor import decode
from oracle.types import Address, Model, ModelId, ModelTerms, Proposal, RequestId
from tests import chains
from tests.chains import address
from tests.networks import Network, network

CHAIN = 31337
QUEUE = Address("0x00000000000000000000000000000000000000AA")
REGISTRY = Address("0x00000000000000000000000000000000000000bb")
TENSOR = "(string,uint8,uint32[])"
MODEL = f"(string,string,bytes32,bytes32,bytes32,{TENSOR}[],{TENSOR}[],uint8,uint256)"


@dataclass
class Here:
    """Runs jobs in this process."""

    engines: Engines = field(default_factory=lambda: Engines(4))

    def infer(self, job: Job) -> bytes:
        return do(self.engines.of(job), job)

    def submit(self, job: Job) -> "Future[bytes]":
        raise NotImplementedError

    def close(self) -> None: ...


def preimage(model: Model) -> bytes:
    return encode(("address", MODEL), (model.publisher, model_words(model)))


def bound_to(payload: bytes, output: bytes) -> dict[str, Any]:
    """What a request says of its payloads."""
    return {
        "input_root": payload_root(payload),
        "input_length": len(payload),
        "max_output_length": len(output),
    }


def bundle(is_lie: bool = False, with_file: bool = True, net: Network | None = None) -> Bundle:
    net = net or network()
    payload = net.payload()
    output = net.lie(payload) if is_lie else net.output(payload)
    model = chains.model(address("publisher"), **net.terms)
    model_id = ModelId(keccak(preimage(model)))
    signature = model.signature
    terms = ModelTerms(
        model.publisher,
        model.royalty,
        signature.input_length,
        signature.output_length,
        True,
        False,
    )
    request = chains.request(model=model_id, terms=terms, **bound_to(payload, output))
    proposed_at = request.deadline - 10
    inputs = decode(payload, signature.inputs)
    ours = testimony.testify(
        trace(Runner(net.program), inputs), inputs, net.output(payload), Payloads(payload, output)
    )
    paths = [sibling for path in ours.paths for sibling in path]
    return Bundle(
        chain_id=CHAIN,
        queue=QUEUE,
        registry=REGISTRY,
        request_id=request_id(request, CHAIN, QUEUE),
        model_id=model_id,
        request=request,
        proposal=Proposal(
            address("operator"), 0, proposed_at, proposed_at + request.window, len(output)
        ),
        logs=References(*(Reference(block, bytes([block]) * 32, 0) for block in (1, 2, 3))),
        model=preimage(model),
        program=net.file if with_file else None,
        payload=payload,
        output=output,
        recomputed=ours.output,
        trace=b"".join((ours.trace_root, ours.header, *paths)),
        proof=ours.wrong.proof if ours.wrong else None,
    )


def with_request(bundle: Bundle, **changes: Any) -> Bundle:
    """With another request, and the id that goes with it."""
    request = replace(bundle.request, **changes)
    return replace(bundle, request=request, request_id=id_of(bundle, request))


def id_of(bundle: Bundle, request: object) -> RequestId:
    return request_id(request, bundle.chain_id, bundle.queue)  # type: ignore[arg-type]


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def bomb(tensors: int, rank: int) -> bytes:
    """A model's preimage whose tensors all stand at one place: `poc_bundle_abi_bomb.py`."""
    tensor = word(96) + word(1) + word(128) + word(0) + word(rank) + word(1) * rank
    inputs = word(tensors) + word(32 * tensors) * tensors + tensor
    head = 8 * 32
    model = word(head) * 2 + word(1) + word(2) + word(head + 32) + word(head) + word(1) + word(0)
    return word(0x11) + word(64) + model + word(0) + inputs
