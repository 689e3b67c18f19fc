"""Re-runs every proposal in a range of blocks, from chain data and model files alone."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from oracle.chain.archive import Archive
from oracle.chain.events import (
    Event,
    ModelDeprecated,
    ModelPublished,
    ModelUriAdded,
    RequestCreated,
    ResultProposed,
    Where,
)
from oracle.chain.histories import ModelHistory, model_histories
from oracle.chain.proposals import Fate, Proposals, Tracked
from oracle.errors import ModelRefused, NotFound, OracleError
from oracle.inference.comparison import Element, first_difference
from oracle.inference.executor import Infers, Job
from oracle.types import Address, Assurance, ModelId, RequestId

KEPT = 64 << 20  # bytes of inputs that wait for their results


@dataclass(frozen=True, slots=True)
class Scope:
    """The proposals in blocks `first` to `last`, both included, that an audit checks. An empty set
    of models or operators stands for all."""

    first: int
    last: int
    models: frozenset[ModelId] = frozenset()
    operators: frozenset[Address] = frozenset()

    def has(self, event: ResultProposed, model: ModelId) -> bool:
        operator = event.proposal.operator
        return (not self.models or model in self.models) and (
            not self.operators or operator in self.operators
        )


@dataclass(frozen=True, slots=True)
class Equal:
    """The result is right in every bit."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """The result is wrong in so many elements, of which `first` is the first."""

    first: Element
    elements: int


@dataclass(frozen=True, slots=True)
class Unchecked:
    """It is not known whether the result is right; `why` is a sentence."""

    why: str


Verdict = Equal | Wrong | Unchecked


@dataclass(frozen=True, slots=True)
class Row:
    """One proposal and the audit's verdict. `fate` is what had become of it at the range's end."""

    request_id: RequestId
    model_id: ModelId
    model: str
    operator: Address
    where: Where
    fate: Fate
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit has come: the last block read, and what was found so far."""

    block: int
    checked: int
    wrong: int


class Auditor:
    """Audits a range of blocks. It holds no more payloads than those of a few blocks.

    `executor` runs `parallel` jobs at once. `fetch` gives the path of a model's file, or raises a
    ModelError; it is called once for each model.
    """

    def __init__(
        self,
        archive: Archive,
        fetch: Callable[[ModelHistory], Path],
        executor: Infers,
        parallel: int = 1,
    ):
        self._archive = archive
        self._models = _Models(fetch)
        self._executor = executor
        self._proposals = Proposals()
        self._inputs = _Inputs()
        self._verdicts: dict[int, Verdict] = {}  # by place in `_proposals`
        self._pending: deque[_Pending] = deque()
        self._parallel = parallel

    def audit(
        self, scope: Scope, report: Callable[[Progress], None] = lambda _progress: None
    ) -> list[Row]:
        """Checks the proposals in `scope`, and gives a row for each in the order of proposing."""
        scope = replace(scope, first=max(scope.first, self._archive.first_block))
        for step in self._archive.models_before(scope.first):
            self._models.learn(step.events)
        for step in self._archive.steps(scope.first, scope.last):
            for event in step.events:
                self._take(event, scope)
            self._collect(2 * self._parallel)
            report(self._progress(step.cursor.number))
        self._collect(0)
        report(self._progress(scope.last))
        end = self._archive.block(scope.last).time
        return [self._row(place, each, end) for place, each in enumerate(self._proposals)]

    def _take(self, event: Event, scope: Scope) -> None:
        match event:
            case ModelPublished() | ModelUriAdded() | ModelDeprecated():
                self._models.learn([event])
            case RequestCreated():
                self._inputs.keep(event)
            case ResultProposed():
                self._start(event, scope)
            case _:
                self._proposals.follow(event)

    def _start(self, event: ResultProposed, scope: Scope) -> None:
        created = self._inputs.get(event.request_id)
        if created is None:
            created = self._archive.created(event.request_id, event.where.block)
            self._inputs.keep(created)
        model_id = created.request.model
        if not scope.has(event, model_id):
            return
        place = self._proposals.track(event, model_id)
        job = self._models.job(model_id, created.payload)
        if isinstance(job, Unchecked):
            self._verdicts[place] = job
            return
        self._collect(2 * self._parallel)
        self._pending.append(_Pending(place, job, event.output, self._executor.submit(job)))

    def _collect(self, waiting: int) -> None:
        """Compares what is done, and waits until no more than `waiting` jobs are left."""
        while self._pending and (len(self._pending) > waiting or self._pending[0].answer.done()):
            pending = self._pending.popleft()
            self._verdicts[pending.place] = pending.verdict()

    def _progress(self, block: int) -> Progress:
        wrong = sum(isinstance(verdict, Wrong) for verdict in self._verdicts.values())
        return Progress(block, len(self._verdicts), wrong)

    def _row(self, place: int, tracked: Tracked, end: int) -> Row:
        return Row(
            tracked.request_id,
            tracked.model_id,
            self._models.name(tracked.model_id),
            tracked.operator,
            tracked.where,
            tracked.fate_at(end),
            self._verdicts[place],
        )


def reason(error: OracleError) -> str:
    """Says in a sentence why a result could not be checked."""
    if isinstance(error, ModelRefused):
        more = f" (and {len(error.reasons) - 1} more)" if len(error.reasons) > 1 else ""
        return f"Refused by the law: {error.reasons[0]}{more}."
    return str(error)


@dataclass(frozen=True, slots=True)
class _Pending:
    place: int
    job: Job
    output: bytes  # as claimed
    answer: "Future[bytes]"

    def verdict(self) -> Verdict:
        """Waits for our answer and compares the claimed output with it."""
        try:
            ours = self.answer.result()
        except OracleError as error:
            return Unchecked(reason(error))
        found = first_difference(self.output, ours, self.job.signature.outputs)
        return Equal() if found is None else Wrong(*found)


class _Inputs:
    """Keeps the latest requests, because most are answered soon after they are made."""

    def __init__(self) -> None:
        self._kept: OrderedDict[RequestId, RequestCreated] = OrderedDict()
        self._bytes = 0

    def keep(self, created: RequestCreated) -> None:
        if created.request_id in self._kept:
            return
        self._kept[created.request_id] = created
        self._bytes += _size(created)
        while self._bytes > KEPT and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)

    def get(self, request_id: RequestId) -> RequestCreated | None:
        return self._kept.get(request_id)


def _size(created: RequestCreated) -> int:
    return len(created.payload) + 1000  # 1000 bytes stand for its other fields


class _Models:
    """Knows what the registry said of models, and where their files are."""

    def __init__(self, fetch: Callable[[ModelHistory], Path]):
        self._fetch = fetch
        self._events: dict[ModelId, list[Event]] = {}
        self._paths: dict[ModelId, Path | OracleError] = {}

    def learn(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, (ModelPublished, ModelUriAdded, ModelDeprecated)):
                self._events.setdefault(event.model_id, []).append(event)

    def name(self, model_id: ModelId) -> str:
        if model_id not in self._events:
            return ""
        model = self._of(model_id).model
        return f"{model.name} {model.version}"

    def job(self, model_id: ModelId, payload: bytes) -> Job | Unchecked:
        try:
            found = self._of(model_id)
            model = found.model
            if model.assurance is Assurance.VANILLA:
                return Unchecked("VANILLA: other hardware may differ in the last digits.")
            path = self._path(found)
        except OracleError as error:
            return Unchecked(reason(error))
        return Job.of(path, model, payload)

    def _of(self, model_id: ModelId) -> ModelHistory:
        found = model_histories(self._events.get(model_id, []))
        if not found:
            raise NotFound(f"The node has no log of model 0x{model_id.hex()}.")
        return found[0]

    def _path(self, found: ModelHistory) -> Path:
        path = self._paths.get(found.model_id)
        if path is None or (isinstance(path, Path) and not path.exists()):  # evicted since
            try:
                self._paths[found.model_id] = self._fetch(found)
            except OracleError as error:
                self._paths[found.model_id] = error
        path = self._paths[found.model_id]
        if isinstance(path, OracleError):
            raise path
        return path
