"""Turns values into the words that the contracts hash and emit, and back."""

from collections.abc import Sequence
from typing import Any

from eth_abi import encode
from eth_utils import keccak, to_checksum_address

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
ZERO_ADDRESS = Address("0x" + "0" * 40)

RequestWords = tuple[bytes, int, bytes, int, int, str, int]


def address_of(number: int) -> Address:
    return Address(to_checksum_address(number.to_bytes(20, "big")))


def bits(word: int, low: int, width: int) -> int:
    return (word >> low) & ((1 << width) - 1)


def terms_from_word(word: int) -> ModelTerms:
    """Reads terms from a word, as `ModelTermsLibrary.pack` writes them."""
    return ModelTerms(
        publisher=address_of(bits(word, 96, 160)),
        royalty=Wei(bits(word, 56, 40) * GWEI),
        input_length=bits(word, 32, 24),
        output_length=bits(word, 8, 24),
        is_exact=bool(word & 1),
        has_float32_output=bool(word & 2),
    )


def terms_word(terms: ModelTerms) -> int:
    return (
        int(terms.publisher, 16) << 96
        | (terms.royalty // GWEI) << 56
        | terms.input_length << 32
        | terms.output_length << 8
        | terms.has_float32_output << 1
        | terms.is_exact
    )


def request_from_words(words: Sequence[Any]) -> Request:
    """Reads the seven words of contracts/libraries/Request.sol, as web3 decodes them."""
    model, terms, input_hash, consumer_and_fee, operator_and_bond, refund_to, timing = words
    operator = bits(operator_and_bond, 96, 160)
    return Request(
        model=ModelId(model),
        terms=terms_from_word(terms),
        input_hash=input_hash,
        consumer=address_of(bits(consumer_and_fee, 96, 160)),
        fee=Wei(bits(consumer_and_fee, 0, 96)),
        operator=address_of(operator) if operator else None,
        bond=Wei(bits(operator_and_bond, 0, 96)),
        refund_to=Address(refund_to),
        deadline=bits(timing, 192, 64),
        window=bits(timing, 160, 32),
        callback_gas=bits(timing, 128, 32),
        nonce=bits(timing, 0, 128),
    )


def request_words(request: Request) -> RequestWords:
    return (
        request.model,
        terms_word(request.terms),
        request.input_hash,
        int(request.consumer, 16) << 96 | request.fee,
        (int(request.operator, 16) if request.operator else 0) << 96 | request.bond,
        request.refund_to,
        request.deadline << 192
        | request.window << 160
        | request.callback_gas << 128
        | request.nonce,
    )


def request_bytes(request: Request) -> bytes:
    """Writes a request's seven words as they are hashed, 224 bytes."""
    return b"".join(
        word if isinstance(word, bytes) else _number(word).to_bytes(32, "big")
        for word in request_words(request)
    )


def request_from_bytes(data: bytes) -> Request:
    """Reads a request from what `request_bytes` writes."""
    words = [data[i : i + 32] for i in range(0, 224, 32)]
    model, terms, input_hash, consumer, operator, refund_to, timing = words
    number = int.from_bytes
    return request_from_words(
        (
            model,
            number(terms, "big"),
            input_hash,
            number(consumer, "big"),
            number(operator, "big"),
            address_of(number(refund_to, "big")),
            number(timing, "big"),
        )
    )


def request_id(request: Request, chain_id: int, queue: Address) -> RequestId:
    """Hashes a request to its id, as `RequestLibrary.id` does."""
    domain = chain_id << 160 | int(queue, 16)
    return RequestId(keccak(domain.to_bytes(32, "big") + keccak(request_bytes(request))))


def _number(word: int | str) -> int:
    return int(word, 16) if isinstance(word, str) else word


def proposal_from_words(words: Sequence[Any]) -> Proposal:
    operator, epoch, proposed_at, settle_at = words
    return Proposal(Address(operator), epoch, proposed_at, settle_at)


def proposal_words(proposal: Proposal) -> tuple[str, int, int, int]:
    return (proposal.operator, proposal.epoch, proposal.proposed_at, proposal.settle_at)


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
        demander=Address(demander),
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
    return (request_words(request), proposal_words(proposal), keccak(output))


def dispute_key(request_id: RequestId, proposal: Proposal, output: bytes) -> bytes:
    """Hashes a proposal to its dispute's key, as `IDisputes.keyOf` does."""
    words = request_id, proposal.operator, proposal.epoch, proposal.proposed_at, keccak(output)
    return keccak(encode(("bytes32", "address", "uint32", "uint64", "bytes32"), words))


def commitment(challenger: Address, dispute: bytes, proof: bytes, salt: bytes) -> bytes:
    """Computes the commitment that `commitFraud` takes."""
    words = challenger, dispute, keccak(proof), salt
    return keccak(encode(("address", "bytes32", "bytes32", "bytes32"), words))


def model_from_words(publisher: Address, words: Sequence[Any]) -> Model:
    """Reads an `IModelRegistry.Model`, as web3 decodes it."""
    name, version, program_root, source_hash, inputs, outputs, assurance, royalty = words
    return Model(
        publisher=publisher,
        name=name,
        version=version,
        program_root=program_root,
        source_hash=source_hash,
        signature=Signature(tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs))),
        assurance=Assurance(assurance),
        royalty=Wei(royalty),
    )


def model_words(model: Model) -> tuple[Any, ...]:
    return (
        model.name,
        model.version,
        model.program_root,
        model.source_hash,
        [(tensor.name, tensor.dtype, tensor.shape) for tensor in model.signature.inputs],
        [(tensor.name, tensor.dtype, tensor.shape) for tensor in model.signature.outputs],
        model.assurance,
        model.royalty,
    )


_TENSOR = "(string,uint8,uint32[])"
_MODEL = f"(string,string,bytes32,bytes32,{_TENSOR}[],{_TENSOR}[],uint8,uint256)"


def model_preimage(model: Model) -> bytes:
    """Gives the bytes whose hash is the model's id, for a model whose names are text. Names that
    others published may be any bytes: see `chain.preimage`."""
    return encode(("address", _MODEL), (model.publisher, model_words(model)))


def _tensor(words: Sequence[Any]) -> TensorType:
    name, dtype, shape = words
    return TensorType(name, DType(dtype), tuple(shape))
