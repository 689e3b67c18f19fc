"""What goes over HTTP, as JSON: bytes are 0x…, wei and nonces are decimal strings (numbers are read
too), times are seconds since 1970."""

import re
from collections.abc import Mapping
from math import isfinite, isnan
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from oracle.chain.codec import request_bytes
from oracle.chain.contracts import SignedOptions
from oracle.exact.program_file import Dictionary
from oracle.tensor import decode
from oracle.types import TensorType
from oracle.values import classes
from oracle.visible import visible
from oracle.worker.orders import Offer, Quote, SignedAnswer

Id = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
Account = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
Hex = Annotated[str, StringConstraints(pattern=r"^0x([0-9a-f]{2})*$")]
Number32 = Annotated[int, Field(ge=0, lt=2**32)]
Time = Annotated[int, Field(ge=0, lt=2**63)]
Decimal = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,29}$")]


def _number(bits: int) -> tuple[BeforeValidator, WithJsonSchema]:
    """Describes a whole number of so many bits, which JSON may hold as such or in digits."""
    digits = len(str(2**bits - 1))

    def read(value: Any) -> int:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(value, str) and re.fullmatch(f"[0-9]{{1,{digits}}}", value):
            value, is_number = int(value), True
        if not is_number or not 0 <= value < 2**bits:
            raise ValueError(f"write a whole number below 2^{bits}, as such or in digits")
        return int(value)

    number = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**bits}
    text = {"type": "string", "pattern": f"^[0-9]{{1,{digits}}}$"}
    return BeforeValidator(read), WithJsonSchema({"anyOf": [number, text]})


Wei = Annotated[int, *_number(96)]
Nonce = Annotated[int, *_number(63)]


class QuoteRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: Id
    bond: Wei | None = Field(None, description="What the operator risks. Default: the least.")
    window: Number32 | None = Field(
        None, description="Seconds for challenges. Default: the shortest."
    )
    timeout: Annotated[int, Field(ge=1, le=3600)] = Field(
        60, description="Seconds until the answer can no longer be posted."
    )
    deadline: Time | None = Field(None, description="The same as a time; it goes before timeout.")
    callback_gas: Number32 = Field(0, description="For onInference, once the result is final.")
    refund_to: Account | None = Field(
        None, description="Who is paid if the answer turns out to be wrong. Default: the consumer."
    )
    nonce: Nonce | None = Field(
        None, description="Tells equal requests apart. Default: a random one."
    )


class InferRequest(QuoteRequest):
    input: Any = Field(
        description="One input: nested lists. Several: an object by name. Or the payload as 0x…",
        examples=[[[5.1, 3.5, 1.4, 0.2]]],
    )
    consumer: Account = Field(description="Who alone can post the answer, and pays the fee.")
    fee: Wei | None = Field(None, description="Default: what a quote says.")


class OptionsReply(BaseModel):
    """`SignedOptions` of the queue."""

    operator: Account
    bond: Decimal
    window: Number32
    deadline: Time
    callback_gas: Number32
    refund_to: Account = Field(description="0x0…0 stands for the consumer.")
    max_output_length: Number32
    nonce: Decimal


class QuoteReply(BaseModel):
    model: Id
    fee: Decimal = Field(description="Royalty included, at the present price of gas.")
    options: OptionsReply


class SignatureReply(BaseModel):
    """As in EIP-2098."""

    r: Id
    vs: Id


class InferReply(BaseModel):
    """An answer that its consumer may post by `infer` before the deadline. It is attested, not
    final: see docs/protocol.md for what that is worth."""

    request_id: Id
    model: Id
    chain_id: int
    queue: Account
    consumer: Account
    fee: Decimal
    options: OptionsReply
    input: Hex
    output: Hex
    values: dict[str, Any] = Field(
        description="The output by name, as nested lists. What JSON has no number for is a string:"
        " NaN, Infinity, -Infinity."
    )
    classes: dict[str, list[str | None]] = Field(
        description="What integers of the output stand for, as the model's file says."
    )
    epoch: Number32
    signer: Account
    signature: SignatureReply
    request: list[Id] = Field(description="The words of `Request`, which the id hashes.")


class TensorReply(BaseModel):
    name: str
    dtype: str
    shape: list[int]


class ModelReply(BaseModel):
    id: Id
    name: str
    version: str
    publisher: Account
    royalty: Decimal
    input_length: int = Field(description="Bytes of an input payload.")
    output_length: int = Field(description="Bytes of an output payload.")
    inputs: list[TensorReply]
    outputs: list[TensorReply]


class WholeModelReply(ModelReply):
    labels: list[str | int] = Field(description="What integers of an output stand for.")
    categories: list[str] = Field(description="The strings that inputs of integers take.")


class ModelsReply(BaseModel):
    operator: Account
    chain_id: int
    queue: Account
    min_bond: Decimal
    min_window: int
    max_window: int
    max_timeout: int
    models: list[ModelReply]


class HealthReply(BaseModel):
    status: str


def options_reply(options: SignedOptions) -> OptionsReply:
    return OptionsReply(
        operator=options.operator,
        bond=str(options.bond),
        window=options.window,
        deadline=options.deadline,
        callback_gas=options.callback_gas,
        refund_to=options.refund_to or "0x" + "0" * 40,
        max_output_length=options.max_output_length,
        nonce=str(options.nonce),
    )


def quote_reply(model: bytes, quote: Quote) -> QuoteReply:
    return QuoteReply(model=hex_(model), fee=str(quote.fee), options=options_reply(quote.options))


def model_reply(offer: Offer) -> ModelReply:
    return ModelReply(**_model(offer))


def whole_model_reply(offer: Offer, known: Dictionary) -> WholeModelReply:
    labels = [label if isinstance(label, int) else visible(label) for label in known.labels]
    return WholeModelReply(
        **_model(offer), labels=labels, categories=list(map(visible, known.categories))
    )


def _model(offer: Offer) -> Mapping[str, Any]:
    """Gives what anybody may have published, so made visible."""
    model, terms = offer.model, offer.terms
    return {
        "id": hex_(offer.model_id),
        "name": visible(model.name),
        "version": visible(model.version),
        "publisher": model.publisher,
        "royalty": str(terms.royalty),
        "input_length": terms.input_length,
        "output_length": terms.output_length,
        "inputs": list(map(_tensor, model.signature.inputs)),
        "outputs": list(map(_tensor, model.signature.outputs)),
    }


def _tensor(tensor: TensorType) -> TensorReply:
    return TensorReply(
        name=visible(tensor.name), dtype=tensor.dtype.name.lower(), shape=list(tensor.shape)
    )


def infer_reply(
    answer: SignedAnswer,
    payload: bytes,
    offer: Offer,
    known: Dictionary,
    chain_id: int,
    queue: str,
) -> InferReply:
    request, tensors = answer.request, offer.model.signature.outputs
    words = request_bytes(request)
    return InferReply(
        request_id=hex_(answer.request_id),
        model=hex_(request.model),
        chain_id=chain_id,
        queue=queue,
        consumer=request.consumer,
        fee=str(request.fee),
        options=options_reply(SignedOptions.of(request)),
        input=hex_(payload),
        output=hex_(answer.output),
        values=_values(answer.output, tensors),
        classes={
            visible(name): [None if each is None else visible(each) for each in found]
            for name, found in classes(answer.output, tensors, known.labels).items()
        },
        epoch=answer.epoch,
        signer=answer.signer,
        signature=SignatureReply(r=hex_(answer.signature.r), vs=hex_(answer.signature.vs)),
        request=[hex_(words[at : at + 32]) for at in range(0, len(words), 32)],
    )


def _values(payload: bytes, tensors: tuple[TensorType, ...]) -> dict[str, Any]:
    arrays = decode(payload, tensors)
    return {
        visible(tensor.name): _in_json(array.tolist())
        for tensor, array in zip(tensors, arrays, strict=True)
    }


def _in_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_json(each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def hex_(data: bytes) -> str:
    return "0x" + data.hex()
