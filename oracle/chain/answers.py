"""Answers that an operator signs: what `InferenceQueue.infer` and `proposeSigned` take.

`contracts/libraries/Answer.sol` has the words, by EIP-712. The request's id binds chain, queue,
consumer, fee, bond, window and deadline; the epoch ends with the operator's next slash.
"""

from dataclasses import dataclass
from functools import cache

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_typing import Hash32
from eth_utils.crypto import keccak

from oracle.chain.keys import Signer
from oracle.merkle import payload_root
from oracle.types import Address, RequestId

_TYPES = {
    "Answer": [
        {"name": "requestId", "type": "bytes32"},
        {"name": "outputRoot", "type": "bytes32"},
        {"name": "outputLength", "type": "uint32"},
        {"name": "epoch", "type": "uint32"},
    ]
}
_TYPE_HASH = keccak(
    text="Answer(bytes32 requestId,bytes32 outputRoot,uint32 outputLength,uint32 epoch)"
)
_DOMAIN_HASH = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_PARITY = 1 << 255


@cache
def _domain(chain_id: int, queue: Address) -> bytes:
    words = (
        _DOMAIN_HASH,
        keccak(text="Exactum"),
        keccak(text="1"),
        chain_id.to_bytes(32, "big"),
        bytes.fromhex(queue[2:]).rjust(32, b"\0"),
    )
    return keccak(b"".join(words))


@dataclass(frozen=True, slots=True)
class AnswerSignature:
    """Of secp256k1, as in EIP-2098: the parity is the highest bit of `vs`. 32 bytes each."""

    r: bytes
    vs: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is signed, in the domain of `queue` on the chain that had this id at its deployment."""

    request_id: RequestId
    output: bytes
    epoch: int
    chain_id: int
    queue: Address

    def sign(self, signer: Signer) -> AnswerSignature:
        signed = signer.account.unsafe_sign_hash(Hash32(self._digest))
        vs = signed.s | (_PARITY if signed.v == 28 else 0)
        return AnswerSignature(signed.r.to_bytes(32, "big"), vs.to_bytes(32, "big"))

    def signer_of(self, signature: AnswerSignature) -> Address | None:
        """Says whose signature it is, as the queue finds it; None where it is nobody's."""
        r, vs = (int.from_bytes(word, "big") for word in (signature.r, signature.vs))
        parts = 27 + (vs >= _PARITY), r, vs % _PARITY
        try:
            return Address(Account.recover_message(self._message, vrs=parts))
        except (BadSignature, ValueError):
            return None

    @property
    def _digest(self) -> bytes:
        """The hash of `_message`, worked out for these words alone: it takes no time."""
        words = (
            _TYPE_HASH,
            self.request_id,
            payload_root(self.output),
            len(self.output).to_bytes(32, "big"),
            self.epoch.to_bytes(32, "big"),
        )
        domain = _domain(self.chain_id, self.queue)
        return keccak(b"\x19\x01" + domain + keccak(b"".join(words)))

    @property
    def _message(self) -> SignableMessage:
        domain = {
            "name": "Exactum",
            "version": "1",
            "chainId": self.chain_id,
            "verifyingContract": self.queue,
        }
        words = {
            "requestId": self.request_id,
            "outputRoot": payload_root(self.output),
            "outputLength": len(self.output),
            "epoch": self.epoch,
        }
        return encode_typed_data(domain, _TYPES, words)
