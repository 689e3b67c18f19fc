"""What is asked of us by whoever wants a signature: a price, or an answer."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from oracle.chain.answers import AnswerSignature
from oracle.chain.contracts import SignedOptions
from oracle.types import Address, Model, ModelId, ModelTerms, Request, RequestId, Wei


@dataclass(frozen=True, slots=True)
class Offer:
    """A model for whose results we sign."""

    model_id: ModelId
    model: Model
    terms: ModelTerms


@dataclass(frozen=True, slots=True)
class Quote:
    """The fee, royalty included, for which we would sign now."""

    fee: Wei
    options: SignedOptions


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """What an operator gives away. With the payload that was asked about, it is all that
    `InferenceQueue.infer` takes."""

    request_id: RequestId
    request: Request
    output: bytes
    epoch: int
    signer: Address
    signature: AnswerSignature


@dataclass(frozen=True, slots=True, eq=False)  # each is one that somebody waits for
class Inquiry:
    """Asks what an answer on these terms costs."""

    model: ModelId
    options: SignedOptions
    future: "Future[Quote]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Asks for a signed answer that `consumer` may post. Without a `fee`, it is what we quote."""

    model: ModelId
    options: SignedOptions
    payload: bytes
    consumer: Address
    fee: Wei | None = None
    future: "Future[SignedAnswer]" = field(default_factory=Future)
