"""The API over a real service: what strangers send, and what they get."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from oracle.chain.events import ResultProposed
from oracle.cli.infer import obstacle_to
from oracle.errors import RunsDiffer, ServiceError
from oracle.exact.program_file import Dictionary
from oracle.inference.executor import Ran
from oracle.serve.client import AskedOptions, Client, Received, checked
from oracle.serve.guard import Guard, GuardLimits, Rate, network_of
from oracle.serve.schemas import InferReply
from oracle.types import DType, Model, ModelId, Signature, TensorType, Wei
from tests.chains import BOND, FEE, OUTPUT, PAYLOAD, STAKE, WINDOW, World, address
from tests.integration.served import PLENTY, served
from tests.integration.workers import Answers

CONSUMER = address("requester")


@pytest.fixture
def model(embedded: World) -> str:
    embedded.stake()
    return "0x" + embedded.publish().hex()


@pytest.fixture
def client(embedded: World, model: str, tmp_path: Path) -> Iterator[TestClient]:
    assert model
    with served(embedded, tmp_path) as (app, _):
        yield TestClient(app)


def asked(model: str, /, **changes: Any) -> dict[str, Any]:
    return {"model": model, "input": [72623859790382856], "consumer": CONSUMER, **changes}


def problem(reply: Any) -> tuple[int, str]:
    """Of an answer that is one: its status, and what it says."""
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    content = reply.json()
    assert content["status"] == reply.status_code and content["title"]
    return reply.status_code, content["detail"]


# What is asked for is had.


def test_models_are_listed_with_the_terms_of_their_operator(client: TestClient, model: str) -> None:
    found = client.get("/v1/models").json()

    assert found["operator"] == address("operator") and found["max_timeout"] == 120
    [only] = found["models"]
    assert only["id"] == model and only["name"] == "doubler"
    assert only["inputs"] == [{"name": "x", "dtype": "int64", "shape": [1]}]
    assert client.get(f"/v1/models/{model}").json() == {**only, "labels": [], "categories": []}


def test_an_answer_is_what_the_queue_takes(client: TestClient, embedded: World, model: str) -> None:
    id_ = ModelId(bytes.fromhex(model[2:]))
    reply = client.post("/v1/infer", json=asked(model, window=WINDOW, bond=str(BOND)))

    assert reply.status_code == 200, reply.text
    content = reply.json()
    assert content["values"] == {"y": [1.0, 0.5]} and content["input"] == "0x" + PAYLOAD.hex()
    got = received(embedded, reply.content, id_)
    call = embedded.queue.infer(
        id_, got.payload, got.request.fee, got.options, got.output, got.signature
    )
    assert embedded.of(embedded.send("requester", call), ResultProposed).output == OUTPUT


def test_a_refund_to_nobody_is_the_consumers(
    client: TestClient, embedded: World, model: str
) -> None:
    """As the queue reads it; an answer about another request could not be posted."""
    id_ = ModelId(bytes.fromhex(model[2:]))
    terms = {"window": WINDOW, "bond": BOND, "refund_to": "0x" + "00" * 20}
    reply = client.post("/v1/infer", json=asked(model, **terms))

    assert received(embedded, reply.content, id_).request.refund_to == CONSUMER


def options_of(reply: dict[str, Any], **changes: Any) -> AskedOptions:
    """What was asked for to get this reply."""
    options = reply["options"]
    deadline, nonce = options["deadline"], int(options["nonce"])
    return replace(AskedOptions(BOND, WINDOW, deadline, nonce=nonce), **changes)


def received(world: World, body: bytes, model: ModelId, **changes: Any) -> Received:
    told = {
        "queue": world.queue,
        "model": model,
        "terms": world.terms_of(model),
        "payload": PAYLOAD,
        "consumer": CONSUMER,
        "fee": None,
        "asked": options_of(json.loads(body)),
        **changes,
    }
    return checked(InferReply.model_validate_json(body), **told)


def test_what_a_hot_key_may_not_lock_is_not_insured(
    embedded: World, model: str, tmp_path: Path
) -> None:
    def limit(most: int) -> None:
        embedded.send("operator", embedded.queue.set_signer(address("second"), Wei(most)))

    limit(BOND)
    with served(embedded, tmp_path, hot="second") as (app, _):
        order = asked(model, window=WINDOW, bond=str(BOND))
        reply = TestClient(app).post("/v1/infer", json=order)
    got = received(embedded, reply.content, ModelId(bytes.fromhex(model[2:])))
    assert got.signer == address("second") and obstacle_to(embedded.queue, got) is None

    limit(BOND - 1)
    assert "signer may lock" in str(obstacle_to(embedded.queue, got))
    embedded.send("operator", embedded.queue.unstake(Wei(STAKE - BOND + 1)))
    assert "are free, less than the bond" in str(obstacle_to(embedded.queue, got))


def test_an_address_that_is_none_is_one_sentence() -> None:
    with pytest.raises(ServiceError, match=r"protocol\.$"):
        Client("127.0.0.1:8080").quote(ModelId(bytes(32)), AskedOptions(BOND, WINDOW, 1))


@pytest.mark.parametrize("input_", ["0x" + PAYLOAD.hex(), {"x": [72623859790382856]}])
def test_an_input_may_be_bytes_or_by_name(client: TestClient, model: str, input_: Any) -> None:
    reply = client.post("/v1/infer", json=asked(model, input=input_))

    assert reply.json()["input"] == "0x" + PAYLOAD.hex()


def test_a_refund_to_the_consumer_may_be_said_outright(
    client: TestClient, embedded: World, model: str
) -> None:
    order = asked(model, window=WINDOW, bond=str(BOND), refund_to=CONSUMER)
    reply = client.post("/v1/infer", json=order)

    options = options_of(reply.json(), refund_to=CONSUMER)
    got = received(embedded, reply.content, ModelId(bytes.fromhex(model[2:])), asked=options)
    assert got.request.refund_to == CONSUMER


def test_strings_are_places_and_integers_are_classes(embedded: World, tmp_path: Path) -> None:
    embedded.stake()
    signature = Signature(
        (TensorType("x", DType.INT64, (1,)),), (TensorType("y", DType.INT64, (1,)),)
    )
    model = "0x" + embedded.publish(signature=signature).hex()
    known = Dictionary(labels=("no", "yes"), categories=("blue", "red"))
    with served(embedded, tmp_path, Answers(bytes(7) + b"\1"), known=known) as (app, _):
        client = TestClient(app)
        reply = client.post("/v1/infer", json=asked(model, input=["red"])).json()
        other = client.post("/v1/infer", json=asked(model, input=["green"]))

    assert reply["input"] == "0x" + bytes(7).hex() + "01"
    assert reply["classes"] == {"y": ["yes"]} and reply["values"] == {"y": [1]}
    assert problem(other)[0] == 422


def test_what_json_has_no_number_for_is_a_string(embedded: World, tmp_path: Path) -> None:
    embedded.stake()
    model = "0x" + embedded.publish().hex()
    with served(embedded, tmp_path, Answers(bytes.fromhex("7fc00000ff800000"))) as (app, _):
        reply = TestClient(app).post("/v1/infer", json=asked(model))

    assert json.loads(reply.content)["values"] == {"y": ["NaN", "-Infinity"]}


def test_a_quote_is_the_fee_that_is_taken(client: TestClient, model: str) -> None:
    fee = client.post("/v1/quote", json={"model": model}).json()["fee"]

    less = client.post("/v1/infer", json=asked(model, fee=str(int(fee) - 1)))
    assert problem(less)[0] == 409
    assert client.post("/v1/infer", json=asked(model, fee=fee)).json()["fee"] == fee


def test_the_same_order_again_is_the_same_answer(client: TestClient, model: str) -> None:
    first = client.post("/v1/infer", json=asked(model, fee=FEE, nonce="7")).json()
    again = asked(model, fee=FEE, nonce=7, deadline=first["options"]["deadline"])

    assert client.post("/v1/infer", json=again).json() == first


def test_a_nonce_may_be_any_that_a_caller_has(client: TestClient, model: str) -> None:
    for nonce in (2**63 - 1, str(2**63 - 1)):
        reply = client.post("/v1/infer", json=asked(model, nonce=nonce))
        assert reply.json()["options"]["nonce"] == str(2**63 - 1)


def test_pages_of_anybody_may_ask(client: TestClient) -> None:
    origin = {"origin": "https://dapp.example"}
    before = {"access-control-request-method": "POST"}
    before["access-control-request-headers"] = "content-type"

    asking = client.options("/v1/infer", headers={**origin, **before})
    reply = client.get("/v1/models", headers=origin)

    assert asking.status_code == 200 and "POST" in asking.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-expose-headers"].lower() == "retry-after"


# What does not fit is said.


@pytest.mark.parametrize(
    "changes",
    [
        {"input": [1, 2]},
        {"input": "many"},
        {"input": [[[]]]},
        {"input": {"z": 1}},
        {"input": "0x00"},
        {"input": "0xzz"},
        {"input": None},
        {"input": [1.5]},
        {"input": [2**64]},
        {"model": "0x12"},
        {"model": 5},
        {"consumer": "0x" + "g" * 40},
        {"input": [None]},
        {"consumer": CONSUMER + "\n"},
        {"fee": -1},
        {"fee": "1e18"},
        {"fee": 2**96},
        {"nonce": 2**63},
        {"nonce": str(2**63)},
        {"window": 2**32},
        {"timeout": 0},
        {"deadline": 2**63},
        {"callback_gas": -1},
        {"more": 1},
    ],
)
def test_what_is_wrong_in_an_order_is_said(
    client: TestClient, model: str, changes: dict[str, Any]
) -> None:
    status, detail = problem(client.post("/v1/infer", json=asked(model, **changes)))

    assert status == 422 and detail


@pytest.mark.parametrize(
    "changes",
    [
        {"bond": 1},
        {"bond": str(10**20)},
        {"window": 1 << 20},
        {"deadline": 1},
        {"timeout": 3600},
        {"fee": 0},
        {"consumer": "0x" + "00" * 20},
        {"consumer": "0x" + CONSUMER[2:].swapcase()},
    ],
)
def test_terms_that_the_operator_does_not_take_are_a_conflict(
    client: TestClient, model: str, changes: dict[str, Any]
) -> None:
    assert problem(client.post("/v1/infer", json=asked(model, **changes)))[0] == 409


def test_an_unknown_model_is_not_found(client: TestClient) -> None:
    unknown = "0x" + "00" * 32
    for reply in (
        client.post("/v1/infer", json=asked(unknown)),
        client.post("/v1/quote", json={"model": unknown}),
        client.get(f"/v1/models/{unknown}"),
        client.get("/v1/nothing"),
    ):
        assert problem(reply)[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"model": ' + b"[" * 10_000,
        b"\xff\xfe",
        b'{"input": ' + b"9" * 10_000 + b"}",
        b'{"a": 1, "a": "\\ud800"}',
        b'{"\\ud800": 1}',
    ],
    ids=["empty", "cut", "deep", "deeper", "no-utf8", "digits", "surrogate", "surrogate-name"],
)
def test_what_is_no_json_is_said(client: TestClient, body: bytes) -> None:
    for path in ("infer", "quote"):
        reply = client.post(
            f"/v1/{path}", content=body, headers={"content-type": "application/json"}
        )
        assert problem(reply)[0] in (400, 422)


def test_runs_that_differ_are_not_answered(embedded: World, model: str, tmp_path: Path) -> None:
    answers = Answers(failures=[RunsDiffer("two runs differ"), ValueError("a bug")])
    with served(embedded, tmp_path, answers) as (app, worker):
        client = TestClient(app, raise_server_exceptions=False)
        expected = client.post("/v1/infer", json=asked(model))
        bug = client.post("/v1/infer", json=asked(model))

    assert problem(expected) == (500, "two runs differ")
    status, detail = problem(bug)
    assert status == 500 and "a bug" not in detail
    assert worker.answers.failures == []


# What is too much is refused.


def test_a_long_body_is_not_read(embedded: World, model: str, tmp_path: Path) -> None:
    with served(embedded, tmp_path, limits=GuardLimits(body=1000)) as (app, _):
        client = TestClient(app)
        said = client.post("/v1/infer", json=asked(model, input="0x" + "00" * 1000))
        unsaid = client.post("/v1/infer", content=iter([b"[" * 600, b"[" * 600]))
        fits = client.post("/v1/infer", json=asked(model))

    assert problem(said)[0] == problem(unsaid)[0] == 413
    assert fits.status_code == 200


def test_one_address_has_so_many_answers_a_minute(
    embedded: World, model: str, tmp_path: Path
) -> None:
    with served(embedded, tmp_path, limits=GuardLimits(rate=2)) as (app, _):
        one, same, other = (
            TestClient(app, client=(host, 1)) for host in ("2001:db8::1", "2001:db8::2", "::1")
        )
        codes = [each.post("/v1/infer", json=asked(model)).status_code for each in (one, same)]
        late = same.post("/v1/infer", json=asked(model))
        others = other.post("/v1/infer", json=asked(model))
        health = same.get("/v1/health")

    assert codes == [200, 200] and problem(late)[0] == 429
    assert int(late.headers["retry-after"]) > 0
    assert others.status_code == health.status_code == 200


class Stuck(Answers):
    def submit(self, model: Model, *rest: Any) -> "Future[Ran]":
        super().submit(model, *rest)
        return Future()


async def at_once(app: FastAPI, order: dict[str, Any], count: int) -> list[httpx2.Response]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return await asyncio.gather(
            *(client.post("/v1/infer", json=order, timeout=60) for _ in range(count))
        )


def test_one_address_has_so_many_answers_at_once(
    embedded: World, model: str, tmp_path: Path
) -> None:
    """And where it goes away, what it asked for is not begun."""
    limits = GuardLimits(at_once=1, rate=10**6)
    with served(embedded, tmp_path, Stuck(), limits, patience=3.0) as (app, worker):
        replies = asyncio.run(at_once(app, asked(model), 2))
    assert sorted(problem(reply)[0] for reply in replies) == [429, 503]
    assert len(worker.answers.asked) == 1


def test_one_address_cannot_take_all_places_by_asking_for_prices() -> None:
    app = FastAPI()

    @app.post("/v1/quote")
    async def quote() -> None:
        await asyncio.sleep(0.5)

    guarded = Guard(app, GuardLimits(at_once=1))

    async def ask() -> list[int]:
        transport = httpx2.ASGITransport(guarded)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            replies = await asyncio.gather(*(client.post("/v1/quote") for _ in range(2)))
        return sorted(reply.status_code for reply in replies)

    assert asyncio.run(ask()) == [200, 429]


def test_who_asked_is_forgotten() -> None:
    """However many addresses somebody has."""
    clock = [0.0]
    rate = Rate(10, lambda: clock[0])
    for who in range(1000):
        assert rate.takes(str(who), 10) and not rate.takes(str(who), 1)
    clock[0] = 60.0
    assert not rate.takes("7", 1)
    clock[0] = 90.0
    assert rate.takes("7", 5) and not rate.takes("7", 1)
    clock[0] = 120.0
    assert rate.takes("8", 10) and rate.remembered == 2


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        # As a proxy writes it that listens for both.
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_an_address_is_a_network_where_everybody_has_many(
    one: str, other: str, is_same: bool
) -> None:
    assert (network_of(one) == network_of(other)) is is_same


# What a server says is checked.


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"output": "0x3f8000003f000001"}, "nobody signed it"),
        ({"output": "0x3f800000"}, "its output has 4 bytes"),
        ({"epoch": 1}, "before a slash"),
        ({"fee": "1"}, "another request"),
        ({"signature": {"r": "0x" + "00" * 32, "vs": "0x" + "00" * 32}}, "nobody signed it"),
    ],
)
def test_a_server_that_lies_is_found_out(
    client: TestClient, embedded: World, model: str, changes: dict[str, Any], why: str
) -> None:
    id_ = ModelId(bytes.fromhex(model[2:]))
    content = client.post("/v1/infer", json=asked(model, window=WINDOW, bond=BOND)).json()
    received(embedded, json.dumps(content).encode(), id_)

    with pytest.raises(ServiceError, match=why):
        received(embedded, json.dumps({**content, **changes}).encode(), id_)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bond", str(BOND + 1)),
        ("window", WINDOW + 1),
        ("refund_to", address("stranger")),
        ("callback_gas", 5),
        ("max_output_length", 9),
        ("nonce", str(2**63)),
        ("nonce", "7"),
        ("deadline", 1_900_000_000),
        ("operator", address("rival")),
    ],
)
def test_a_server_that_changes_the_terms_is_found_out(
    client: TestClient, embedded: World, model: str, option: str, value: object
) -> None:
    id_ = ModelId(bytes.fromhex(model[2:]))
    content = client.post("/v1/infer", json=asked(model, window=WINDOW, bond=BOND)).json()
    wanted = options_of(content)
    content["options"][option] = value

    with pytest.raises(ServiceError):
        received(embedded, json.dumps(content).encode(), id_, asked=wanted)


def test_an_answer_that_came_too_late_is_found_out(
    client: TestClient, embedded: World, model: str
) -> None:
    order = asked(model, window=WINDOW, bond=BOND, timeout=60)
    reply = client.post("/v1/infer", json=order)
    embedded.skip(61)

    with pytest.raises(ServiceError, match="its deadline of .* is over"):
        received(embedded, reply.content, ModelId(bytes.fromhex(model[2:])))


def test_a_server_that_asks_for_another_fee_is_found_out(
    client: TestClient, embedded: World, model: str
) -> None:
    id_ = ModelId(bytes.fromhex(model[2:]))
    content = client.post("/v1/infer", json=asked(model, window=WINDOW, bond=BOND)).content

    with pytest.raises(ServiceError, match="another fee"):
        received(embedded, content, id_, fee=Wei(5))


# What the API says of itself is so.


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_api_is_as_it_says(
    embedded: World, model: str, tmp_path: Path, mode: GenerationMode
) -> None:
    with served(embedded, tmp_path, limits=PLENTY) as (app, _):
        for found in schema_of(app, mode, model).get_all_operations():
            operation = found.ok()
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # there is nothing that could be wrong

            @settings(max_examples=40, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                case.call_and_validate()

            check()


def test_page_names_each_endpoint(client: TestClient) -> None:
    page = (Path(__file__).parents[2] / "docs/developers.md").read_text()

    paths = client.get("/openapi.json").json()["paths"]
    said = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert said == set(re.findall(r"^\| `((?:GET|POST) /v1/[^`]*)`", page, re.M))


def schema_of(app: FastAPI, mode: GenerationMode, model: str) -> Any:
    """The description. Every other order that is right by it is about a model that is offered."""
    checks = {"positive_data_acceptance": {"expected-statuses": [200, 404, 409, 422]}}
    config = SchemathesisConfig.from_dict({"checks": checks})
    found = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)

    def known(_: Any, body: Any) -> Any:
        if isinstance(body, dict) and isinstance(body.get("model"), str) and len(str(body)) % 2:
            return {**body, "model": model}
        return body

    if mode is GenerationMode.POSITIVE:
        found.hook("map_body")(known)
    return found
