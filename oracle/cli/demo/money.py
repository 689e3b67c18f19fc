"""Every wei that moves in an act: from whom, to whom, for what; and that nothing else moved."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rich.table import Table

from oracle.chain.events import (
    DemandTimedOut,
    Event,
    FraudProven,
    OperatorSlashed,
    PartDemanded,
    PrepaidCollected,
    RequestCreated,
    RequestExpired,
    RequestSettled,
)
from oracle.chain.node import Chain
from oracle.cli import show
from oracle.cli.demo.stage import Stage
from oracle.errors import ChainError
from oracle.types import Address, Request, RequestId, Wei

BURNED = Address("0x000000000000000000000000000000000000dEaD")
NETWORK = "the network"


@dataclass(frozen=True, slots=True)
class Payment:
    """One, or several alike. Names, as the stage calls accounts."""

    what: str
    payer: str
    payee: str
    amount: int


class Ledger:
    """Opened where an act begins. What is somebody's: the wallet, and in the queue its stake,
    bonds included, what it unstaked, and its credit."""

    def __init__(self, stage: Stage):
        self._stage = stage
        self.opened = stage.now()
        self._before = self._holdings()

    def balance(self) -> None:
        """Shows all payments, and raises where they do not explain what everybody has now."""
        payments = list(self._payments())
        now = self._holdings()
        changes = {name: now[name] - before for name, before in self._before.items()}
        self._print(payments, changes)
        if changes != {name: net(payments, name) for name in changes}:
            raise ChainError("The payments do not explain what everybody has now.")
        if sum(changes.values()) + sum(p.amount for p in payments if p.payee == NETWORK):
            raise ChainError("Wei came from nowhere, or went there.")

    def _holdings(self) -> dict[str, int]:
        """Gives what everybody holds, by name. What the queue holds beyond what it owes to people
        is escrow."""
        chain, queue = self._stage.chain, self._stage.session.queue
        found, owed = dict[str, int](), 0
        for name, account in self._stage.cast.people():
            staked, unstaking = queue.account_of(account).staked, queue.unstaking_of(account)
            inside = staked + unstaking.amount + queue.credit_of(account)
            found[name] = chain.balance(account) + inside
            owed += inside
        found[self._name(queue.address)] = chain.balance(queue.address) - owed
        disputes = self._stage.disputes.address
        found[self._name(disputes)] = chain.balance(disputes)
        found[self._name(BURNED)] = chain.balance(BURNED)
        return found

    def _name(self, account: Address) -> str:
        queue, disputes = self._stage.session.queue.address, self._stage.disputes.address
        contracts = {queue: "escrow", disputes: "Disputes", BURNED: "burned"}
        return contracts.get(account) or self._stage.name_of(account)

    def _payments(self) -> Iterator[Payment]:
        """Yields all payments since the act began, with those of one kind between the same two
        added up."""
        events = self._stage.events(self.opened)
        amounts: dict[tuple[str, Address, Address], int] = defaultdict(int)
        for what, payer, payee, wei in self._moves(events):
            amounts[what, payer, payee] += wei
        for (what, payer, payee), amount in amounts.items():
            if amount:
                yield Payment(what, self._name(payer), self._name(payee), amount)
        last = self._stage.now().number
        fees, count = gas_paid(self._stage.chain, self.opened.number + 1, last)
        for name, account in self._stage.cast.people():
            if count[account]:
                what = f"gas of {count[account]} transactions"
                yield Payment(what, name, NETWORK, fees[account])

    def _moves(self, events: Iterable[Event]) -> Iterator[tuple[str, Address, Address, Wei]]:
        """Yields (what, from, to, wei). Escrow goes to the queue, and what is prepaid goes to
        Disputes."""
        stage = self._stage
        queue, disputes = stage.session.queue.address, stage.disputes.address
        requests: dict[RequestId, Request] = {}
        wronged: dict[bytes, Address] = {}  # who asked, by the transaction of a conviction
        for event in events:
            match event:
                case RequestCreated(where=where, request=request):
                    requests[event.request_id] = request
                    yield "fee", stage.chain.sender_of(where.transaction), queue, request.fee
                case RequestSettled(request_id=id_, operator=operator):
                    fee, terms = requests[id_].fee, requests[id_].terms
                    yield "fee, less royalty", queue, operator, Wei(fee - terms.royalty)
                    yield "royalty", queue, terms.publisher, terms.royalty
                case RequestExpired(refund_to=refund_to, refund=refund):
                    yield "fee, back", queue, refund_to, refund
                case FraudProven(request_id=id_) | DemandTimedOut(request_id=id_):
                    wronged[event.where.transaction] = requests[id_].refund_to
                case OperatorSlashed(operator=operator, bond=bond, reward=reward, burned=burned):
                    rest, asked = Wei(bond - reward - burned), wronged[event.where.transaction]
                    yield share(reward, bond, "reward"), operator, event.challenger, reward
                    yield share(rest, bond, "compensation"), operator, asked, rest
                    yield share(burned, bond, "burned"), operator, BURNED, burned
                case PartDemanded(demand=demand):
                    yield "prepaid for answers", demand.demander, disputes, demand.prepaid
                case PrepaidCollected(account=account, amount=amount):
                    yield "prepaid, back", disputes, account, amount

    def _print(self, payments: Iterable[Payment], changes: Mapping[str, int]) -> None:
        table = Table("what", "from", "to")
        table.add_column("wei", justify="right")
        for each in payments:
            table.add_row(each.what, each.payer, each.payee, f"{each.amount:,}")
        show.out.print(table)
        table = Table("who")
        for title in ("change in wei", "has now"):
            table.add_column(title, justify="right")
        for name, change in changes.items():
            table.add_row(name, f"{change:+,}", show.ether(self._before[name] + change))
        show.out.print(table)


def net(payments: Iterable[Payment], name: str) -> int:
    return sum(p.amount * ((p.payee == name) - (p.payer == name)) for p in payments)


def share(part: int, bond: int, what: str) -> str:
    return f"bond, {part * 100 / bond:g} % {what}"


def gas_paid(chain: Chain, first: int, last: int) -> tuple[dict[Address, Wei], Counter[Address]]:
    """Gives the wei that each sender paid for gas in these blocks, failed transactions included,
    and how many transactions it sent."""
    fees: dict[Address, Wei] = defaultdict(lambda: Wei(0))
    count: Counter[Address] = Counter()
    for number in range(first, last + 1):
        for transaction in chain.transactions(number):
            sender, receipt = chain.sender_of(transaction), chain.receipt(transaction)
            assert receipt is not None
            fees[sender] = Wei(fees[sender] + receipt.gas_used * receipt.gas_price)
            count[sender] += 1
    return fees, count
