"""The bytes whose hash is a model's id: abi.encode(publisher, model).

Names are bytes here, because Solidity's strings may hold any bytes: read as text and encoded again,
they may have another hash.
"""

from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from oracle.chain.abi import decoded
from oracle.chain.codec import model_from_words
from oracle.chain.replies import Log
from oracle.errors import EvidenceError, MalformedData, NotFound
from oracle.types import Address, Model, ModelId

_TENSOR = "(bytes,uint8,uint32[])"
MODEL = f"(bytes,bytes,bytes32,bytes32,bytes32,{_TENSOR}[],{_TENSOR}[],uint8,uint256)"


def model_id(preimage: bytes) -> ModelId:
    return ModelId(keccak(preimage))


def of_log(log: Log) -> bytes:
    """Gives the preimage of the model in a log `ModelPublished`. Raises NotFound where its hash is
    not the log's id."""
    publisher = to_checksum_address(log.topics[2][-20:])
    model, _ = decoded((MODEL, "bytes"), log.data)
    preimage: bytes = encode(("address", MODEL), (publisher, model))
    if keccak(preimage) != log.topics[1]:
        raise NotFound("The model's log is not that of its id.")
    return preimage


def model_of(preimage: bytes) -> Model:
    """Reads a model from its preimage. Raises EvidenceError where that is of no model."""
    try:
        publisher, words = decoded(("address", MODEL), preimage)
        name, version, *hashes, inputs, outputs, assurance, royalty = words
        tensors = [_named(tensor) for tensor in inputs], [_named(tensor) for tensor in outputs]
        named = _text(name), _text(version), *hashes, *tensors, assurance, royalty
        return model_from_words(Address(to_checksum_address(publisher)), named)
    except (MalformedData, ValueError, OverflowError) as error:
        raise EvidenceError(f"The model's preimage cannot be read: {error}") from None


def _named(tensor: tuple[bytes, int, tuple[int, ...]]) -> tuple[str, int, tuple[int, ...]]:
    name, dtype, shape = tensor
    return _text(name), dtype, shape


def _text(data: bytes) -> str:
    """Reads a name as text, as the decoder of events does."""
    return data.decode(errors="replace").replace("\0", "\ufffd")
