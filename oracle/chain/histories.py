"""Histories as values: what the events of one model, one request or one account add up to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from oracle.chain.codec import dispute_key
from oracle.chain.disputes import Dispute, key_of, replay
from oracle.chain.events import (
    CallbackFailed,
    CallbackRetried,
    DemandTimedOut,
    DisputeEvent,
    Event,
    FraudProven,
    ModelDeprecated,
    ModelPublished,
    ModelUriAdded,
    OperatorSlashed,
    PartDemanded,
    PrepaidCollected,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    UnstakeStarted,
    Where,
    WindowMoved,
    Withdrawn,
)
from oracle.chain.proposals import Fate
from oracle.errors import NotFound
from oracle.types import Address, Model, ModelId, Request, RequestId, Status


@dataclass(frozen=True, slots=True)
class ModelHistory:
    model_id: ModelId
    model: Model
    uris: tuple[str, ...]
    is_deprecated: bool
    successor: ModelId | None
    published: ModelPublished


@dataclass(frozen=True)
class RequestHistory:
    """A request and all that has happened to it, in order. Whoever follows many asks for much of it
    again and again, so what is found out is kept."""

    created: RequestCreated
    events: tuple[Event, ...]

    @property
    def request_id(self) -> RequestId:
        return self.created.request_id

    @property
    def request(self) -> Request:
        return self.created.request

    @cached_property
    def claims(self) -> list[ResultProposed]:
        """All proposals, the oldest first, each with its window as last moved."""
        found: list[ResultProposed] = []
        for event in self.events:
            match event:
                case ResultProposed():
                    found.append(event)
                case WindowMoved(proposal=moved) if found:
                    found[-1] = replace(found[-1], proposal=moved)
        return found

    @property
    def proposed(self) -> ResultProposed | None:
        """The proposal that stands, or stood when the request ended; None while there is none."""
        for event in reversed(self.events):
            match event:
                case RequestReopened():
                    return None
                case ResultProposed():
                    return self.claims[-1]
        return None

    def claim(self, number: int | None = None) -> tuple[int, ResultProposed]:
        """Gives the proposal of that number, of all for the request, counted from 1; without a
        number the last: the one that stands, else the last that a slash voided. Raises NotFound."""
        if not self.claims:
            raise NotFound("No result was ever proposed for this request.")
        if number is not None and not 0 < number <= len(self.claims):
            raise NotFound(f"Of this request there are {len(self.claims)} proposals, not {number}.")
        number = number or len(self.claims)
        return number, self.claims[number - 1]

    @cached_property
    def claims_by_key(self) -> dict[bytes, ResultProposed]:
        """All proposals, by the keys of the disputes about them."""
        return {dispute_key(c.request_id, c.proposal, c.output): c for c in self.claims}

    def fate(self, number: int) -> Fate:
        """Says what became of the proposal of that number, or that it stands."""
        fates: list[Fate] = []
        keys = list(self.claims_by_key)
        for event in self.events:
            match event:
                case ResultProposed():
                    fates.append(Fate.PROPOSED)
                case RequestSettled() if fates:
                    fates[-1] = Fate.SETTLED
                case RequestReopened() | RequestExpired() if fates and fates[-1] is Fate.PROPOSED:
                    fates[-1] = Fate.VOID
                # Also of one that is void already: whoever does not answer is slashed.
                case FraudProven(dispute=key) | DemandTimedOut(dispute=key) if key in keys:
                    fates[keys.index(key)] = Fate.SLASHED
        return fates[number - 1]

    @property
    def status(self) -> Status:
        for event in reversed(self.events):
            match event:
                case RequestSettled():
                    return Status.SETTLED
                case RequestExpired():
                    return Status.EXPIRED
                case ResultProposed():
                    return Status.PROPOSED
                case RequestReopened():
                    return Status.REQUESTED
        return Status.REQUESTED

    @property
    def callback_failed(self) -> CallbackFailed | None:
        """The callback's last failure; None if it never failed, or a retry succeeded."""
        failure = None
        for event in self.events:
            match event:
                case CallbackFailed():
                    failure = event
                case CallbackRetried():
                    failure = None
        return failure

    @cached_property
    def disputes(self) -> dict[bytes, Dispute]:
        """The disputes about its proposals, by their keys, the oldest first."""
        found = [event for event in self.events if isinstance(event, DisputeEvent)]
        return {key: replay(key, found) for key in dict.fromkeys(map(key_of, found))}

    def dispute(self, key: bytes) -> Dispute:
        """Gives the dispute with that key, in which nothing may have happened yet."""
        return self.disputes.get(key) or Dispute(key)

    @property
    def opened(self) -> Where:
        """Gives the event by which the request is, or was last, to be answered."""
        reopened = [each.where for each in self.events if isinstance(each, RequestReopened)]
        return reopened[-1] if reopened else self.created.where

    @property
    def slashed(self) -> set[Address]:
        """Whose proposals were voided by a slash while they stood."""
        return {each.operator for each in self.events if isinstance(each, RequestReopened)}

    def ended(self, operator: Address) -> Where | None:
        """Gives the first event after which no proposal of `operator` stands any more, for all that
        it has proposed yet; None while one stands, or where there was none."""
        found: Where | None = None
        for event in self.events:
            match event:
                case ResultProposed(proposal=proposal) if proposal.operator == operator:
                    found = None
                case RequestReopened(where=where, operator=slashed) if slashed == operator:
                    found = found or where
                case RequestSettled(where=where) | RequestExpired(where=where):
                    found = found or where
        return found

    def uncollected(self, account: Address, demands: Sequence[PartDemanded]) -> list[PartDemanded]:
        """Gives those of `demands` whose prepaid sum `account` has not collected yet. What was
        collected names its dispute and its sum alone, so that of several demands of one sum some
        may be given that were collected."""
        collected = Counter(
            (event.dispute, event.amount)
            for event in self.events
            if isinstance(event, PrepaidCollected) and event.account == account
        )
        asked = Counter((each.demand.dispute, each.demand.prepaid) for each in demands)
        return [
            each
            for each in demands
            if collected[key := (each.demand.dispute, each.demand.prepaid)] < asked[key]
        ]


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """What happened to the money of one account, in order."""

    account: Address
    events: tuple[UnstakeStarted | Withdrawn | OperatorSlashed, ...]

    def was_paid(self, promised: Where, time: int) -> bool:
        """Says whether what was promised for a time, in seconds, was withdrawn then or later."""
        return any(
            isinstance(each, Withdrawn)
            and each.where.place > promised.place
            and each.where.time >= time
            for each in self.events
        )


def model_histories(events: Sequence[Event]) -> list[ModelHistory]:
    """Gives the history of each model that is published in `events`, the oldest first."""
    return [_model_history(event, events) for event in events if isinstance(event, ModelPublished)]


def _model_history(published: ModelPublished, events: Sequence[Event]) -> ModelHistory:
    model_id = published.model_id
    uris = [published.uri] if published.uri else []
    deprecated: ModelDeprecated | None = None
    for event in events:
        match event:
            case ModelUriAdded(model_id=of, uri=uri) if of == model_id:
                uris.append(uri)
            case ModelDeprecated(model_id=of) if of == model_id:
                deprecated = event
    return ModelHistory(
        model_id=model_id,
        model=published.model,
        uris=tuple(dict.fromkeys(uris)),
        is_deprecated=deprecated is not None,
        successor=deprecated.successor if deprecated else None,
        published=published,
    )
