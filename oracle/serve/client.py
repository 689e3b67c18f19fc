"""Asks an operator's server for a signed answer, and believes nothing that it says."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx2
from eth_utils import to_checksum_address
from pydantic import BaseModel, ValidationError

from oracle.chain.answers import AnswerSignature
from oracle.chain.contracts import Queue, SignedOptions
from oracle.errors import ServiceError
from oracle.serve.schemas import InferReply, OptionsReply, QuoteReply, hex_
from oracle.types import CALLERS, Address, ModelId, ModelTerms, Request, RequestId, Wei

MOST_REPLY = 1 << 25  # bytes: payloads in hexadecimal, and the output's values
CONNECT = 10.0  # seconds

R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class AskedOptions:
    """The part of `SignedOptions` that whoever asks chooses; times in seconds. Nothing is left
    open, so that the same order can be repeated, and gives the same answer."""

    bond: Wei
    window: int
    deadline: int
    callback_gas: int = 0
    refund_to: Address | None = None
    nonce: int = field(default_factory=lambda: secrets.randbits(62))

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "bond": str(self.bond),
            "window": self.window,
            "deadline": self.deadline,
            "callback_gas": self.callback_gas,
            "refund_to": self.refund_to,
            "nonce": str(self.nonce),
        }


@dataclass(frozen=True, slots=True)
class Received:
    """A signed answer that was checked: it is what `InferenceQueue.infer` takes of its consumer, as
    long as the operator has as much stake free as its bond."""

    request_id: RequestId
    request: Request
    options: SignedOptions
    payload: bytes
    output: bytes
    epoch: int
    signer: Address
    signature: AnswerSignature


class Client:
    """Talks to the server at `url`. An answer is waited for `patience` seconds."""

    def __init__(self, url: str, patience: float = 180.0):
        self._url = url.rstrip("/").removesuffix("/v1")
        self._patience = patience

    def quote(self, model: ModelId, options: AskedOptions) -> QuoteReply:
        """Raises ServiceError."""
        return self._post("quote", {"model": hex_(model), **options.fields}, QuoteReply)

    def infer(
        self,
        model: ModelId,
        payload: bytes,
        consumer: Address,
        fee: Wei | None,
        options: AskedOptions,
    ) -> InferReply:
        """Raises ServiceError."""
        asked = {
            "model": hex_(model),
            "input": hex_(payload),
            "consumer": consumer,
            "fee": None if fee is None else str(fee),
            **options.fields,
        }
        return self._post("infer", asked, InferReply)

    def _post(self, what: str, content: Mapping[str, Any], kind: type[R]) -> R:
        url = f"{self._url}/v1/{what}"
        try:
            status, body = self._repeated(url, content)
        except TimeoutError:
            late = f"it took over {self._patience:g} s"
            raise ServiceError(f"{url} does not answer: {late}.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            why = str(error).rstrip(".") or type(error).__name__
            raise ServiceError(f"{url} does not answer: {why}.") from None
        if status != 200:
            raise ServiceError(f"{url} answered {status}: {_detail(body)}")
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            where = error.errors()[0]["loc"]
            raise ServiceError(f"{url} gave an answer that cannot be read, at {where}.") from None

    def _repeated(self, url: str, content: Mapping[str, Any]) -> tuple[int, bytes]:
        """Asks once more where the connection was lost: an answer may have been signed."""
        try:
            return asyncio.run(self._reply(url, content))
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            return asyncio.run(self._reply(url, content))

    async def _reply(self, url: str, content: Mapping[str, Any]) -> tuple[int, bytes]:
        """Gives the status and the body. Whatever comes a little at a time has no more time, and
        nothing is unpacked, since a small reply could fill the memory."""
        limits = httpx2.Timeout(self._patience, connect=CONNECT)
        plain = {"accept-encoding": "identity"}
        async with (
            asyncio.timeout(self._patience),
            httpx2.AsyncClient(timeout=limits, follow_redirects=False) as client,
            client.stream("POST", url, json=content, headers=plain) as response,
        ):
            return response.status_code, await _body(response, url)


def checked(
    reply: InferReply,
    *,
    queue: Queue,
    model: ModelId,
    terms: ModelTerms,
    payload: bytes,
    consumer: Address,
    fee: Wei | None,
    asked: AskedOptions,
) -> Received:
    """Checks that the reply is an answer to what was asked, which the queue takes from `consumer`
    now. Raises ServiceError where it is none."""
    options, its_fee = _options(reply.options), Wei(int(reply.fee))
    _require(its_fee == fee if fee is not None else its_fee < 1 << 96, "it is for another fee")
    request = options.request(model, terms, payload, consumer, its_fee)
    wanted = replace(
        request,
        bond=asked.bond,
        window=asked.window,
        deadline=asked.deadline,
        nonce=asked.nonce | CALLERS,
        callback_gas=asked.callback_gas,
        refund_to=asked.refund_to or consumer,
        max_output_length=terms.output_length,
    )
    _require(request == wanted, "it is on other terms")
    _require(terms.is_exact and not terms.is_sampled, "nobody can prove its output wrong")
    latest = queue.chain.block("latest").time
    _require(latest < options.deadline, f"its deadline of {options.deadline} is over")
    output = bytes.fromhex(reply.output[2:])
    _require(len(output) == terms.output_length, f"its output has {len(output)} bytes")

    request_id = queue.id_of(request)
    _require(hex_(request_id) == reply.request_id, "it is about another request")
    account = queue.account_of(options.operator)
    _require(reply.epoch == account.epoch, "it was signed before a slash")
    signature = AnswerSignature(_bytes(reply.signature.r), _bytes(reply.signature.vs))
    signer = queue.answer(request, output, reply.epoch).signer_of(signature)
    hot = queue.signer_of(options.operator)
    ours = {options.operator} | ({hot.signer} if hot else set())
    _require(signer in ours, f"nobody signed it for {options.operator}")
    assert signer is not None
    return Received(request_id, request, options, payload, output, reply.epoch, signer, signature)


def _require(holds: bool, else_: str) -> None:
    if not holds:
        raise ServiceError(f"The server's answer is not one to what was asked: {else_}.")


def _options(reply: OptionsReply) -> SignedOptions:
    refund_to = Address(to_checksum_address(reply.refund_to))
    return SignedOptions(
        operator=Address(to_checksum_address(reply.operator)),
        bond=Wei(int(reply.bond)),
        window=reply.window,
        deadline=reply.deadline,
        nonce=int(reply.nonce),
        callback_gas=reply.callback_gas,
        refund_to=None if int(refund_to, 16) == 0 else refund_to,
        max_output_length=reply.max_output_length,
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


async def _body(response: httpx2.Response, url: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_REPLY:
            raise ServiceError(f"{url} answers with more than {MOST_REPLY} bytes.")
    return bytes(body)


def _detail(body: bytes) -> str:
    """Gives what the server says went wrong, as far as it can be read."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    detail = found.get("detail") if isinstance(found, dict) else None
    if isinstance(detail, str) and detail:
        return detail[:1000]
    return "it does not say why; is that the URL of an exactum serve?"
