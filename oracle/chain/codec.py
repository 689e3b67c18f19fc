"""Turns values into the words that the contracts hash and emit, and back."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from eth_abi import encode
from eth_utils import keccak

from oracle.chain.addresses import checksummed
from oracle.merkle import payload_root
from oracle.types import (
    Address,
    Assurance,
    Demand,
    DType,
    Model,
    ModelId,
    ModelTerms,
    Part,
    Proposal,
    Request,
    RequestId,
    Signature,
    TensorType,
    Wei,
)

GWEI = 10**9
KEPT = 1 << 10  # terms
ZERO_ADDRESS = Address("0x" + "0" * 40)

RequestWords = tuple[bytes, int, bytes, int, int, int, int]


def address_of(number: int) -> Address:
    return checksummed(number.to_bytes(20, "big"))


def bits(word: int, low: int, width: int) -> int:
    return (word >> low) & ((1 << width) - 1)


@lru_cache(KEPT)
def terms_from_word(word: int) -> ModelTerms:
    """Reads terms from a word, as `ModelTermsLibrary.pack` writes them. Those of one model stand in
    each of its requests."""
    return ModelTerms(
        publisher=address_of(bits(word, 96, 160)),
        royalty=Wei(bits(word, 56, 40) * GWEI),
        input_length=bits(word, 32, 24),
        output_length=bits(word, 8, 24),
        is_exact=bool(word & 1),
        has_float32_output=bool(word & 2),
        generates=bool(word & 4),
        is_sampled=bool(word & 8),
    )


def terms_word(terms: ModelTerms) -> int:
    return (
        int(terms.publisher, 16) << 96
        | (terms.royalty // GWEI) << 56
        | terms.input_length << 32
        | terms.output_length << 8
        | terms.is_sampled << 3
        | terms.generates << 2
        | terms.has_float32_output << 1
        | terms.is_exact
    )


def request_from_words(words: Sequence[Any]) -> Request:
    """Reads the seven words of contracts/libraries/Request.sol, as web3 decodes them."""
    model, terms, input_root, consumer_and_fee, operator_and_bond, lengths, timing = words
    operator = bits(operator_and_bond, 96, 160)
    return Request(
        model=ModelId(model),
        terms=terms_from_word(terms),
        input_root=input_root,
        consumer=address_of(bits(consumer_and_fee, 96, 160)),
        fee=Wei(bits(consumer_and_fee, 0, 96)),
        operator=address_of(operator) if operator else None,
        bond=Wei(bits(operator_and_bond, 0, 96)),
        refund_to=address_of(bits(lengths, 96, 160)),
        input_length=bits(lengths, 32, 32),
        max_output_length=bits(lengths, 0, 32),
        deadline=bits(timing, 192, 64),
        window=bits(timing, 160, 32),
        callback_gas=bits(timing, 128, 32),
        nonce=bits(timing, 64, 64),
        entropy=bits(timing, 0, 64),
    )


def request_words(request: Request) -> RequestWords:
    return (
        request.model,
        terms_word(request.terms),
        request.input_root,
        int(request.consumer, 16) << 96 | request.fee,
        (int(request.operator, 16) if request.operator else 0) << 96 | request.bond,
        int(request.refund_to, 16) << 96 | request.input_length << 32 | request.max_output_length,
        request.deadline << 192
        | request.window << 160
        | request.callback_gas << 128
        | request.nonce << 64
        | request.entropy,
    )


def request_bytes(request: Request) -> bytes:
    """Writes a request's seven words as they are hashed, 224 bytes."""
    return b"".join(
        word if isinstance(word, bytes) else word.to_bytes(32, "big")
        for word in request_words(request)
    )


def request_from_bytes(data: bytes) -> Request:
    """Reads a request from what `request_bytes` writes."""
    words = [data[i : i + 32] for i in range(0, 224, 32)]
    return request_from_words(
        [word if at in (0, 2) else int.from_bytes(word, "big") for at, word in enumerate(words)]
    )


def request_id(request: Request, chain_id: int, queue: Address) -> RequestId:
    """Hashes a request to its id, as `RequestLibrary.id` does. `chain_id` is that of the
    deployment."""
    domain = chain_id << 160 | int(queue, 16)
    return RequestId(keccak(domain.to_bytes(32, "big") + keccak(request_bytes(request))))


def proposal_from_words(words: Sequence[Any]) -> Proposal:
    """Reads the two words of contracts/libraries/Proposal.sol."""
    origin, window = words
    return Proposal(
        operator=address_of(bits(origin, 96, 160)),
        epoch=bits(origin, 64, 32),
        proposed_at=bits(window, 192, 64),
        settle_at=bits(window, 128, 64),
        output_length=bits(origin, 0, 32),
        by_signer=bool(bits(origin, 32, 1)),
    )


def proposal_words(proposal: Proposal) -> tuple[int, int]:
    origin = (
        int(proposal.operator, 16) << 96
        | proposal.epoch << 64
        | proposal.by_signer << 32
        | proposal.output_length
    )
    return origin, proposal.proposed_at << 192 | proposal.settle_at << 128


def part_from_words(words: Sequence[Any]) -> Part:
    return Part(*words)


def part_words(part: Part) -> tuple[int, int, int, int]:
    return (part.value, part.height, part.first, part.count)


def demand_from_words(words: Sequence[Any]) -> Demand:
    dispute, part, root, values, leaves, padding, demander, prepaid, deadline = words
    return Demand(
        dispute=dispute,
        part=part_from_words(part),
        program_root=root,
        values=values,
        leaves=leaves,
        padding=padding,
        demander=demander,
        prepaid=Wei(prepaid),
        deadline=deadline,
    )


def demand_words(demand: Demand) -> tuple[Any, ...]:
    return (
        demand.dispute,
        part_words(demand.part),
        demand.program_root,
        demand.values,
        demand.leaves,
        demand.padding,
        demand.demander,
        demand.prepaid,
        demand.deadline,
    )


def subject_words(request: Request, proposal: Proposal, output: bytes) -> tuple[Any, ...]:
    """Gives the words of `IDisputes.Subject`."""
    return (request_words(request), proposal_words(proposal), payload_root(output))


def dispute_key(request_id: RequestId, proposal: Proposal, output: bytes) -> bytes:
    """Hashes a proposal to its dispute's key, as `IDisputes.keyOf` does."""
    origin, _ = proposal_words(proposal)
    words = request_id, origin, proposal.proposed_at, payload_root(output)
    return keccak(encode(("bytes32", "uint256", "uint64", "bytes32"), words))


def commitment(challenger: Address, dispute: bytes, proof: bytes, salt: bytes) -> bytes:
    """Computes the commitment that `commitFraud` takes."""
    words = challenger, dispute, keccak(proof), salt
    return keccak(encode(("address", "bytes32", "bytes32", "bytes32"), words))


def model_from_words(publisher: Address, words: Sequence[Any]) -> Model:
    """Reads an `IModelRegistry.Model`, as web3 decodes it."""
    name, version, program_root, source_hash, generation, *tensors, assurance, royalty = words
    inputs, outputs = tensors
    return Model(
        publisher=publisher,
        name=name,
        version=version,
        program_root=program_root,
        source_hash=source_hash,
        signature=Signature(tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs))),
        assurance=Assurance(assurance),
        royalty=Wei(royalty),
        generation=generation,
    )


def model_words(model: Model) -> tuple[Any, ...]:
    return (
        model.name,
        model.version,
        model.program_root,
        model.source_hash,
        model.generation,
        [(tensor.name, tensor.dtype, tensor.shape) for tensor in model.signature.inputs],
        [(tensor.name, tensor.dtype, tensor.shape) for tensor in model.signature.outputs],
        model.assurance,
        model.royalty,
    )


_TENSOR = "(string,uint8,uint32[])"
_MODEL = f"(string,string,bytes32,bytes32,bytes32,{_TENSOR}[],{_TENSOR}[],uint8,uint256)"


def model_preimage(model: Model) -> bytes:
    """Gives the bytes whose hash is the model's id, for a model whose names are text. Names that
    others published may be any bytes: see `chain.preimage`."""
    return encode(("address", _MODEL), (model.publisher, model_words(model)))


def _tensor(words: Sequence[Any]) -> TensorType:
    name, dtype, shape = words
    return TensorType(name, DType(dtype), tuple(shape))
