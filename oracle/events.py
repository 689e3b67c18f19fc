"""What happened on chain, as values: one class for each event of the contracts that we act on."""

from dataclasses import dataclass

from oracle.types import Address, Model, ModelId, Proposal, Request, RequestId, Wei


@dataclass(frozen=True, slots=True)
class Where:
    """The place of an event in the chain: unique, and in order."""

    block: int
    index: int  # of the log in its block
    transaction: bytes
    time: int  # of the block, in seconds


@dataclass(frozen=True, slots=True)
class ModelPublished:
    where: Where
    model_id: ModelId
    model: Model
    uri: str


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
class RequestExpired:
    where: Where
    request_id: RequestId
    refund_to: Address
    refund: Wei


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
    | RequestExpired
    | StakeAdded
    | UnstakeStarted
    | Withdrawn
    | OperatorSlashed
)
