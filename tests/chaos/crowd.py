"""Who asks in a chaos test: requests of every kind, and signed answers that are posted or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from oracle.chain.contracts import SignedOptions
from oracle.chain.node import Call, Fees
from oracle.chain.transactions import _transaction
from oracle.errors import ChainError, OracleError
from oracle.types import Address, ModelId, Wei
from oracle.worker.orders import Order
from tests import chains
from tests.chains import ETHER, GWEI, PEOPLE, address, options
from tests.chaos.cast import Program
from tests.chaos.ground import Ground
from tests.integration.workers import Worker
from tests.networks import Network

ASKERS = ("requester", "stranger", "griefer1", "griefer2")
BOND = Wei(ETHER // 2)
FEE, POOR = Wei(ETHER // 20), Wei(chains.ROYALTY + 1)
WINDOWS, TIMEOUTS = (120, 600, 1200), (60, 2400, 3600)
GAS = 1_000_000
CALLBACK_GAS = 50_000


@dataclass
class Crowd:
    ground: Ground
    rng: Random
    models: dict[ModelId, Network]
    consumers: Sequence[Address]  # each hands on what it is called with
    operators: Sequence[str]
    orders: list[Order] = field(default_factory=list)
    posted: int = 0

    def act(self, signers: Sequence[Program]) -> str:
        """Asks for something, or not, and posts what was signed."""
        asked = sum(self._request() for _ in range(self.rng.choice((0, 0, 1, 1, 2, 3))))
        ready = [each for each in self.orders if each.future.done()]
        self.orders = [each for each in self.orders if not each.future.done()]
        posted = sum(map(self._post, ready))
        self.posted += posted
        if signers and self.rng.random() < 0.3:
            self._order(self.rng.choice(list(signers)))
        return f"{asked} requests, {posted} signed"

    def _request(self) -> bool:
        model, payload = self._question()
        by = self.rng.choice([None, None, None, *self.consumers])
        call = self.ground.world.queue.request(
            model,
            payload,
            self.rng.choice((FEE, FEE, FEE, FEE, POOR)),
            options(
                bond=BOND,
                window=self.rng.choice(WINDOWS),
                timeout=self.rng.choice(TIMEOUTS),
                operator=self.rng.choice([None, None, None, *map(address, self.operators)]),
                callback_gas=0 if by is None else CALLBACK_GAS,
            ),
        )
        return self.send(self.rng.choice(ASKERS), call if by is None else replace(call, to=by))

    def _question(self) -> tuple[ModelId, bytes]:
        model = self.rng.choice(list(self.models))
        return model, self.models[model].payload(self.rng.randrange(1 << 32))

    def _order(self, program: Program) -> None:
        signing = program.party.service.signing if isinstance(program.party, Worker) else None
        if signing is None:
            return
        model, payload = self._question()
        terms = SignedOptions(
            operator=address(program.who),
            bond=BOND,
            window=self.rng.choice(WINDOWS),
            deadline=self.ground.now + self.rng.choice((60, 240, 480)),
            nonce=self.rng.randrange(1 << 64),
        )
        order = Order(model, terms, payload, address("requester"), FEE)
        signing.put(order)
        self.orders.append(order)

    def _post(self, order: Order) -> bool:
        """Uses most answers; the others' bonds are waited for in vain."""
        try:
            answer = order.future.result()
        except OracleError:
            return False
        if self.rng.random() < 0.2:
            return False
        call = self.ground.world.queue.infer(
            order.model,
            order.payload,
            answer.request.fee,
            order.options,
            answer.output,
            answer.signature,
        )
        return self.send("requester", call)

    def send(self, who: str, call: Call) -> bool:
        """Broadcasts it, and looks no further: what a reorganisation takes, nobody asks again."""
        chain, signer = self.ground.world.chain, PEOPLE[who]
        nonce = int(self.ground.rpc("eth_getTransactionCount", signer.address, "pending"), 16)
        fees = Fees(Wei(100 * GWEI), Wei(GWEI))
        raw, _ = signer.sign(_transaction(chain.id, call, nonce, GAS, fees))
        try:
            chain.broadcast(raw)
        except ChainError:
            return False
        return True
