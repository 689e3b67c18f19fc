"""The API: models, quotes, signed answers."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import lru_cache
from importlib.metadata import version
from typing import Any, TypeVar

from eth_utils import is_checksum_address, to_checksum_address
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from starlette.concurrency import run_in_threadpool

from oracle.chain.contracts import SignedOptions
from oracle.errors import Busy, Declined
from oracle.exact.program_file import Dictionary
from oracle.serve import schemas
from oracle.serve.guard import FREE, INFER, Guard, GuardLimits
from oracle.serve.problems import ASKING, READING, add_handlers, documented
from oracle.serve.schemas import (
    HealthReply,
    Id,
    InferReply,
    InferRequest,
    ModelsReply,
    QuoteReply,
    QuoteRequest,
    WholeModelReply,
)
from oracle.types import Address, Model, ModelId, Wei
from oracle.values import payload_of, payload_of_hex
from oracle.worker.orders import Inquiry, Offer, Order
from oracle.worker.signing import NOBODY, Signing

T = TypeVar("T")
LOOK = 1.0  # seconds until it is looked again whether somebody still waits
GRACE = 10.0  # seconds that an order may take beside its wait and its run


def create_app(
    signing: Signing,
    dictionary_of: Callable[[Model], Dictionary | None],
    limits: GuardLimits,
    patience: float,
) -> FastAPI:
    """Makes the API. An answer is waited for `patience` seconds; `dictionary_of` reads what a
    model's file says that its integers stand for."""
    app = FastAPI(
        title="Exactum",
        version=version("exactum"),
        summary="Signed inference that a contract can act on at once.",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(Guard, limits=limits)
    # A page of anybody's may ask: nothing here goes by who the reader is.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST"],
        allow_headers=["content-type"],
        expose_headers=["retry-after"],
    )
    add_handlers(app)
    known = lru_cache(maxsize=256)(lambda model: dictionary_of(model) or Dictionary())

    @app.get(FREE, responses=documented(503))
    async def health() -> HealthReply:
        """Says whether answers are signed now."""
        _ = signing.chain_time
        return HealthReply(status="ok")

    @app.get("/v1/models", responses=READING)
    async def models() -> ModelsReply:
        """Lists the models for whose results the operator signs, and the terms that it takes."""
        rules = signing.rules
        return ModelsReply(
            operator=signing.operator,
            chain_id=signing.chain_id,
            queue=signing.queue,
            min_bond=str(rules.min_bond),
            min_window=rules.min_window,
            max_window=rules.max_window,
            max_timeout=signing.max_timeout,
            models=list(map(schemas.model_reply, signing.offers())),
        )

    @app.get("/v1/models/{model}", responses=READING)
    async def model(model: Id) -> WholeModelReply:
        """Shows one model, with what its integers stand for."""
        offer = signing.offer_of(_id(model))
        return schemas.whole_model_reply(offer, await run_in_threadpool(known, offer.model))

    @app.post("/v1/quote", responses=ASKING)
    async def quote(asked: QuoteRequest, http: Request) -> QuoteReply:
        """Says what an answer on these terms costs now."""
        inquiry = Inquiry(_id(asked.model), _options(asked, signing))
        signing.offer_of(inquiry.model)
        signing.put(inquiry)
        found = await _awaited(inquiry.future, http, patience)
        return schemas.quote_reply(inquiry.model, found)

    @app.post(INFER, responses=ASKING)
    async def infer(asked: InferRequest, http: Request) -> InferReply:
        """Runs the model and signs its output. The same order again, with the same nonce and
        deadline, gives the same answer."""
        offer = signing.offer_of(_id(asked.model))
        options = _options(asked, signing)
        names = await run_in_threadpool(known, offer.model)
        payload = await run_in_threadpool(_payload, asked.input, offer, names.categories)
        fee = None if asked.fee is None else Wei(asked.fee)
        order = Order(offer.model_id, options, payload, _consumer(asked.consumer), fee)
        signing.put(order)
        answer = await _awaited(order.future, http, patience)
        return await run_in_threadpool(
            schemas.infer_reply,
            answer,
            payload,
            offer,
            names,
            signing.chain_id,
            signing.queue,
        )

    return app


def _payload(values: Any, offer: Offer, categories: Sequence[str]) -> bytes:
    signature = offer.model.signature
    if isinstance(values, str) and values.startswith("0x"):
        return payload_of_hex(values, signature)
    return payload_of(values, signature, lambda: categories)


def _options(asked: QuoteRequest, signing: Signing) -> SignedOptions:
    """Fills in what was left open."""
    rules = signing.rules
    deadline = int(signing.chain_time) + asked.timeout if asked.deadline is None else asked.deadline
    refund_to = NOBODY if asked.refund_to is None else _account(asked.refund_to)
    return SignedOptions(
        operator=signing.operator,
        bond=rules.min_bond if asked.bond is None else Wei(asked.bond),
        window=rules.min_window if asked.window is None else asked.window,
        deadline=deadline,
        nonce=secrets.randbits(59) if asked.nonce is None else asked.nonce,
        callback_gas=asked.callback_gas,
        refund_to=None if refund_to == NOBODY else refund_to,  # as the queue reads it
    )


def _id(text: str) -> ModelId:
    return ModelId(bytes.fromhex(text[2:]))


def _account(text: str) -> Address:
    """Reads an address. Raises Declined where its checksum, if it has one, is wrong."""
    letters = text[2:]
    if letters not in (letters.lower(), letters.upper()) and not is_checksum_address(text):
        raise Declined(f"{text} is no address: its checksum is wrong.")
    return Address(to_checksum_address(text))


def _consumer(text: str) -> Address:
    """Reads who may post. Raises Declined for nobody."""
    consumer = _account(text)
    if consumer == NOBODY:
        raise Declined("Nobody could post an answer for the consumer 0x0…0.")
    return consumer


async def _awaited(future: "Future[T]", http: Request, patience: float) -> T:
    """Waits for what was asked. Where nobody waits any more, it need not be begun."""
    waiting = asyncio.wrap_future(future)
    until = asyncio.get_running_loop().time() + patience
    while not (await asyncio.wait({waiting}, timeout=LOOK))[0]:
        is_late = asyncio.get_running_loop().time() > until
        if is_late or await http.is_disconnected():
            waiting.cancel()
            raise Busy("The answer took too long.", again_in=10)
    return waiting.result()
