"""Tells the history of one model or one request, from the chain's logs alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from oracle.chain.codec import dispute_key
from oracle.chain.deployment import Deployment
from oracle.chain.events import (
    CallbackFailed,
    CallbackRetried,
    DemandTimedOut,
    Event,
    FraudProven,
    ModelDeprecated,
    ModelPublished,
    ModelUriAdded,
    RequestCreated,
    RequestExpired,
    RequestReopened,
    RequestSettled,
    ResultProposed,
    WindowMoved,
)
from oracle.chain.node import Chain
from oracle.chain.proposals import Fate
from oracle.chain.watcher import Watcher
from oracle.errors import NotFound
from oracle.types import Model, ModelId, RequestId, Status


@dataclass(frozen=True, slots=True)
class ModelHistory:
    model_id: ModelId
    model: Model
    uris: tuple[str, ...]
    is_deprecated: bool
    successor: ModelId | None
    published: ModelPublished


@dataclass(frozen=True, slots=True)
class RequestHistory:
    """A request and all that has happened to it, in order."""

    created: RequestCreated
    events: tuple[Event, ...]

    @property
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

    def fate(self, number: int) -> Fate:
        """Says what became of the proposal of that number, or that it stands."""
        fates: list[Fate] = []
        keys = [dispute_key(c.request_id, c.proposal, c.output) for c in self.claims]
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


class History:
    def __init__(self, chain: Chain, deployment: Deployment):
        self.chain = chain
        self._watcher = Watcher(chain, deployment, confirmations=0)

    def model(self, model_id: ModelId) -> ModelHistory:
        found = model_histories(self._about(model_id))
        if not found:
            raise NotFound(
                f"{self.chain.name} knows no model 0x{model_id.hex()};"
                " exactum model list shows all."
            )
        return found[0]

    def models(self) -> list[ModelHistory]:
        """Reads all models, the oldest first."""
        return model_histories(list(self._all()))

    def request(self, request_id: RequestId) -> RequestHistory:
        found = self._about(request_id)
        created = next((event for event in found if isinstance(event, RequestCreated)), None)
        if created is None:
            raise NotFound(
                f"{self.chain.name} knows no request 0x{request_id.hex()} of this deployment."
            )
        return RequestHistory(created, tuple(event for event in found if event is not created))

    def _about(self, subject: bytes) -> list[Event]:
        return list(self._all(subject))

    def _all(self, subject: bytes | None = None) -> Iterator[Event]:
        for step in self._watcher.steps(None, subject):
            yield from step.events


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
