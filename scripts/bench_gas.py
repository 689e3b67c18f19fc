"""Gas of the happy path: whole transactions on anvil, second request by the same actors.

Payloads are 32 non-zero bytes in and out unless said otherwise, the consumer is
contracts/examples/MinimalConsumer.sol with a callback that does nothing.
`signed` is an answer that was signed before, used at once by contracts/examples/SignedConsumer.sol,
which keeps its first word; it is settled by the output's root alone. A `hot` answer is proposed by
the key that the operator has named, which signed it. Batches are per inference.
With --json the last line is one JSON object.
"""

import argparse
import json
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from oracle.chain import keys as signers
from oracle.chain.connection import connect
from oracle.chain.contracts import Consumer, Options, Queue, Registry, SignedOptions
from oracle.chain.decoder import Decoder
from oracle.chain.deployer import create, deploy
from oracle.chain.deployment import Deployment
from oracle.chain.devnet import anvil, fund, skip_time
from oracle.chain.events import ModelPublished, RequestCreated, ResultProposed
from oracle.chain.keys import Signer
from oracle.chain.node import Chain
from oracle.chain.presets import preset
from oracle.chain.replies import Receipt
from oracle.chain.transactions import transact
from oracle.types import (
    Assurance,
    DType,
    Model,
    ModelId,
    Proposal,
    Request,
    Signature,
    TensorType,
    Wei,
)

T = TypeVar("T")

ETHER = 10**18
FEE = Wei(ETHER // 100 + 123_456_789)
WINDOW = 60

Used = tuple[Request, Proposal, bytes]
"""An answer as it was used."""

BARS = {
    "request": 68_000,
    "propose": 42_200,
    "settle": 45_500,
    "total": 155_000,
    "request_1k": 94_500,
    "total_1k": 244_000,
    "request_4k": 190_000,
    "batch_100": 33_000,
    "signed": 91_000,
    "signed_1k": 153_000,
    "settle_signed": 42_000,
    "settle_signed_50": 17_000,
}


class Bench:
    """One operator, one requester, and a consumer and model for each payload size."""

    def __init__(self, chain: Chain, deployment: Deployment, user: Signer, operator: Signer):
        self.chain = chain
        self.queue = Queue(chain, deployment)
        self.registry = Registry(chain, deployment)
        self.user = user
        self.operator = operator
        self.decoder = Decoder()

    def consumer(self, size: int) -> Consumer:
        arguments = (self.queue.address, self.model(size), WINDOW)
        deployed = create(self.chain, self.user, "MinimalConsumer", arguments)
        return Consumer(self.chain, "MinimalConsumer", deployed.address)

    def model(self, size: int) -> ModelId:
        tensor = (TensorType("data", DType.FLOAT, (size // 4,)),)
        model = Model(
            publisher=self.user.address,
            name=f"bench-{size}",
            version="1",
            program_root=secrets.token_bytes(32),
            source_hash=secrets.token_bytes(32),
            signature=Signature(tensor, tensor),
            assurance=Assurance.EXACT,
            royalty=Wei(0),
        )
        receipt = transact(self.chain, self.user, self.registry.publish(model, ""))
        [published] = self.events(receipt, ModelPublished)
        return published.model_id

    def request(self, consumer: Consumer, size: int) -> tuple[int, RequestCreated]:
        receipt = transact(self.chain, self.user, consumer.ask(payload(size), FEE))
        [created] = self.events(receipt, RequestCreated)
        return receipt.gas_used, created

    def propose(self, asked: list[RequestCreated], size: int) -> tuple[int, list[ResultProposed]]:
        answers = [(each.request, payload(size)) for each in asked]
        receipt = transact(self.chain, self.operator, self.queue.propose(answers))
        return receipt.gas_used, self.events(receipt, ResultProposed)

    def settle(self, asked: list[RequestCreated], proposed: list[ResultProposed]) -> int:
        skip_time(self.chain, WINDOW)
        results = [
            (request.request, result.proposal, result.output)
            for request, result in zip(asked, proposed, strict=True)
        ]
        return transact(self.chain, self.operator, self.queue.settle(results)).gas_used

    def single(self, size: int) -> dict[str, int]:
        """Measures the gas of each transaction of the second request."""
        consumer = self.consumer(size)
        gas: dict[str, int] = {}
        for _ in range(2):
            gas["request"], created = self.request(consumer, size)
            gas["propose"], proposed = self.propose([created], size)
            gas["settle"] = self.settle([created], proposed)
        return gas | {"total": sum(gas.values())}

    def batch(self, many: int, size: int = 32) -> int:
        """Measures the gas of propose and settle for one inference of `many`."""
        consumer = self.consumer(size)
        asked = [self.request(consumer, size)[1] for _ in range(many)]
        gas, proposed = self.propose(asked, size)
        return (gas + self.settle(asked, proposed)) // many

    def hot(self, size: int) -> dict[str, int]:
        """Measures the gas of a second answer that the operator's signer has signed, and sends."""
        signer = signers.from_key(secrets.token_bytes(32))
        fund(self.chain, signer.address, Wei(ETHER))
        most = self.queue.set_signer(signer.address, Wei(50 * ETHER))
        transact(self.chain, self.operator, most)
        model_id, output, gas = self.model(size), payload(size), {}
        for _ in range(2):
            options = Options(Wei(ETHER // 50), WINDOW, 600)
            call = self.queue.request(model_id, payload(size), FEE, options)
            [asked] = self.events(transact(self.chain, self.user, call), RequestCreated)
            answer = self.queue.answer(asked.request, output, 0).sign(signer)
            call = self.queue.propose_signed(asked.request, self.operator.address, output, answer)
            receipt = transact(self.chain, signer, call)
            [proposed] = self.events(receipt, ResultProposed)
            gas["propose_hot"] = receipt.gas_used
            gas["settle_hot"] = self.settle_by_root([(asked.request, proposed.proposal, output)])
        return gas

    def signed(self, size: int) -> dict[str, int]:
        """Measures the gas of using a second signed answer, and of settling it."""
        uses = self.uses(size)
        next(uses)
        gas, used = next(uses)
        return {"signed": gas, "settle_signed": self.settle_by_root([used])}

    def signed_batch(self, many: int, size: int = 32) -> int:
        """Measures the gas of settling one of `many` signed answers."""
        uses = self.uses(size)
        return self.settle_by_root([next(uses)[1] for _ in range(many)]) // many

    def uses(self, size: int) -> Iterator[tuple[int, Used]]:
        """Uses answers that the operator signed, without end; yields the gas of each."""
        model_id = self.model(size)
        terms = self.registry.terms_of(model_id)
        arguments = (self.queue.address, model_id)
        deployed = create(self.chain, self.user, "SignedConsumer", arguments)
        consumer = Consumer(self.chain, "SignedConsumer", deployed.address)
        for nonce in count(1):
            asked, output = payload(size), payload(size)
            options = SignedOptions(
                operator=self.operator.address,
                bond=Wei(ETHER // 50),
                window=WINDOW,
                deadline=self.chain.block("latest").time + 600,
                nonce=nonce,
            )
            request = options.request(model_id, terms, asked, consumer.address, FEE)
            answer = self.queue.answer(request, output, 0)
            call = consumer.act(asked, FEE, options, output, answer.sign(self.operator))
            receipt = transact(self.chain, self.user, call)
            [proposed] = self.events(receipt, ResultProposed)
            yield receipt.gas_used, (request, proposed.proposal, output)

    def settle_by_root(self, used: list[Used]) -> int:
        skip_time(self.chain, WINDOW)
        return transact(self.chain, self.operator, self.queue.settle_by_root(used)).gas_used

    def events(self, receipt: Receipt, kind: type[T]) -> list[T]:
        found = (self.decoder.decode(log, 0) for log in receipt.logs)
        return [event for event in found if isinstance(event, kind)]


def payload(size: int) -> bytes:
    """Draws finite float32s, with no byte of them zero."""
    return bytes(1 + secrets.randbelow(126) for _ in range(size))


def measure(url: str) -> dict[str, int]:
    chain = connect(url)
    user, operator = (signers.from_key(secrets.token_bytes(32)) for _ in range(2))
    for each in (user, operator):
        fund(chain, each.address, Wei(100 * ETHER))
    with tempfile.TemporaryDirectory() as folder:
        parameters = replace(preset("l2"), min_window=1)
        deployment = deploy(chain, user, parameters, Path(folder) / "deployment.json")
    bench = Bench(chain, deployment, user, operator)
    transact(chain, operator, bench.queue.stake(Wei(50 * ETHER)))

    small, large = bench.single(32), bench.single(1024)
    return {
        **small,
        "request_1k": large["request"],
        "total_1k": large["total"],
        "request_4k": bench.single(4096)["request"],
        "batch_10": bench.batch(10),
        "batch_100": bench.batch(100),
        **bench.hot(32),
        "propose_hot_1k": bench.hot(1024)["propose_hot"],
        **bench.signed(32),
        "signed_1k": bench.signed(1024)["signed"],
        "settle_signed_50": bench.signed_batch(50),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench gas")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()

    with anvil() as url:
        gas = measure(url)

    table = Table("what", "gas", "bar", title="Gas on anvil, whole transactions")
    for name, used in gas.items():
        bar = BARS.get(name)
        style = "red" if bar is not None and used > bar else None
        table.add_row(name, f"{used:,}", f"≤ {bar:,}" if bar else "", style=style)
    Console(stderr=arguments.json).print(table)
    if arguments.json:
        print(json.dumps(gas))
    return int(any(gas[name] > bar for name, bar in BARS.items()))


if __name__ == "__main__":
    sys.exit(main())
