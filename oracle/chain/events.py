"""What happened on chain, as values: one class for each event of the contracts that we act on."""

from dataclasses import dataclass

from oracle.types import (
    Address,
    Demand,
    Model,
    ModelId,
    Part,
    Proposal,
    Request,
    RequestId,
    Verdict,
    Wei,
)


@dataclass(frozen=True, slots=True)
class Where:
    """The place of an event in the chain: unique, and in order."""

    block: int
    index: int  # of the log in its block
    transaction: bytes
    time: int  # of the block, in seconds
    block_hash: bytes

    @property
    def place(self) -> tuple[int, int]:
        return self.block, self.index


@dataclass(frozen=True, slots=True)
class ModelPublished:
    where: Where
    model_id: ModelId
    model: Model
    uri: str
    preimage: bytes  # of the id: names as they are, be they text or not


@dataclass(frozen=True, slots=True)
class ModelUriAdded:
    where: Where
    model_id: ModelId
    uri: str


@dataclass(frozen=True, slots=True)
class ModelDeprecated:
    where: Where
    model_id: ModelId
    successor: ModelId | None


@dataclass(frozen=True, slots=True)
class RequestCreated:
    where: Where
    request_id: RequestId
    request: Request
    payload: bytes


@dataclass(frozen=True, slots=True)
class ResultProposed:
    where: Where
    request_id: RequestId
    proposal: Proposal
    output: bytes


@dataclass(frozen=True, slots=True)
class RequestSettled:
    where: Where
    request_id: RequestId
    operator: Address


@dataclass(frozen=True, slots=True)
class CallbackFailed:
    where: Where
    request_id: RequestId
    consumer: Address
    reason: bytes


@dataclass(frozen=True, slots=True)
class CallbackRetried:
    where: Where
    request_id: RequestId
    consumer: Address


@dataclass(frozen=True, slots=True)
class RequestReopened:
    """A slash voided the proposal of `operator`; the request may be answered again."""

    where: Where
    request_id: RequestId
    operator: Address


@dataclass(frozen=True, slots=True)
class WindowMoved:
    """A dispute moved the end of the window; `proposal` is what later calls must pass."""

    where: Where
    request_id: RequestId
    operator: Address
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class RequestExpired:
    where: Where
    request_id: RequestId
    refund_to: Address
    refund: Wei


@dataclass(frozen=True, slots=True)
class SignerSet:
    """`signer` may sign answers in the operator's name in that epoch, or nobody."""

    where: Where
    operator: Address
    epoch: int
    signer: Address | None
    max_locked: Wei


@dataclass(frozen=True, slots=True)
class StakeAdded:
    where: Where
    operator: Address
    amount: Wei
    staked: Wei


@dataclass(frozen=True, slots=True)
class UnstakeStarted:
    where: Where
    operator: Address
    amount: Wei
    available_at: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    where: Where
    account: Address
    amount: Wei


@dataclass(frozen=True, slots=True)
class OperatorSlashed:
    where: Where
    operator: Address
    challenger: Address
    bond: Wei
    reward: Wei
    burned: Wei
    epoch: int


@dataclass(frozen=True, slots=True)
class PartDemanded:
    where: Where
    request_id: RequestId
    operator: Address
    demand: Demand


@dataclass(frozen=True, slots=True)
class PartRevealed:
    where: Where
    request_id: RequestId
    dispute: bytes
    part: Part
    data: bytes
    siblings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TraceRevealed:
    where: Where
    request_id: RequestId
    dispute: bytes
    trace_root: bytes


@dataclass(frozen=True, slots=True)
class FraudCommitted:
    where: Where
    commitment: bytes
    challenger: Address


@dataclass(frozen=True, slots=True)
class FraudProven:
    where: Where
    request_id: RequestId
    dispute: bytes
    challenger: Address
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class DemandTimedOut:
    where: Where
    request_id: RequestId
    dispute: bytes
    part: Part


@dataclass(frozen=True, slots=True)
class PrepaidCollected:
    where: Where
    dispute: bytes
    account: Address
    amount: Wei


DisputeEvent = PartDemanded | PartRevealed | TraceRevealed | FraudProven | DemandTimedOut
"""What happened in one dispute."""

Event = (
    ModelPublished
    | ModelUriAdded
    | ModelDeprecated
    | RequestCreated
    | ResultProposed
    | RequestSettled
    | CallbackFailed
    | CallbackRetried
    | RequestReopened
    | WindowMoved
    | RequestExpired
    | SignerSet
    | StakeAdded
    | UnstakeStarted
    | Withdrawn
    | OperatorSlashed
    | DisputeEvent
    | FraudCommitted
    | PrepaidCollected
)
