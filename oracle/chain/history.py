"""Reads the history of one model or one request, from the chain's logs alone."""

from collections.abc import Sequence
from pathlib import Path

from oracle.chain.decoder import Decoder
from oracle.chain.deployment import Deployment
from oracle.chain.events import Event, RequestCreated
from oracle.chain.histories import ModelHistory, RequestHistory, model_histories
from oracle.chain.kept import DatedLog, Kept, load, save
from oracle.chain.logs import LogReader
from oracle.chain.node import Chain
from oracle.chain.replies import Log
from oracle.chain.watcher import NEAR
from oracle.errors import NotFound
from oracle.types import ModelId, RequestId


class History:
    """Reads histories from one node. What it read of the registry in old blocks it keeps in
    `folder`, if there is one."""

    def __init__(self, chain: Chain, deployment: Deployment, folder: Path | None = None):
        self.chain = chain
        self._first = deployment.first_block
        self._file = folder and folder / f"{chain.id}-{deployment.registry[2:].lower()}.json"
        self._registry = LogReader(chain, (deployment.registry,))
        self._all = LogReader(chain, deployment.watched)
        self._decoder = Decoder()

    def model(self, model_id: ModelId) -> ModelHistory:
        # A node may have left it out when the file was written.
        for old in (self._in_file(), None):
            for each in self._models_since(old):
                if each.model_id == model_id:
                    return each
            if old is None:
                break
        raise NotFound(
            f"{self.chain.name} knows no model 0x{model_id.hex()}; exactum model list shows all."
        )

    def models(self) -> list[ModelHistory]:
        """Reads all models, the oldest first."""
        return self._models_since(self._in_file())

    def request(self, request_id: RequestId) -> RequestHistory:
        """Reads backwards until the request's beginning is found, since most are recent."""
        last, blocks = self.chain.block("latest").number, NEAR
        found: list[Event] = []
        while last >= self._first:
            first = max(self._first, last - blocks + 1)
            logs = self._all.of_range(first, last, request_id)
            found = self._decoded(self._dated(logs)) + found
            for event in found:
                if isinstance(event, RequestCreated):
                    rest = (each for each in found if each is not event)
                    return RequestHistory(event, tuple(rest))
            last, blocks = first - 1, 4 * blocks
        raise NotFound(
            f"{self.chain.name} knows no request 0x{request_id.hex()} of this deployment."
        )

    def _models_since(self, before: Kept | None) -> list[ModelHistory]:
        head = self.chain.block("latest").number
        old = self._old_logs(before, head - NEAR)
        new = self._dated(self._registry.of_range(max(self._first, old.last + 1), head))
        return model_histories(self._decoded([*old.logs, *new]))

    def _old_logs(self, before: Kept | None, last: int) -> Kept:
        """Reads the registry's logs up to a block. However far that comes, the file has it the next
        time."""
        kept = before or Kept(self._first - 1, b"")
        try:
            for stretch in self._registry.stretches(kept.last + 1, last):
                logs = [*kept.logs, *self._dated(stretch.logs)]
                kept = Kept(stretch.last.number, stretch.last.hash, logs)
        finally:
            if self._file is not None and kept.hash and kept is not before:
                save(self._file, kept)
        return kept

    def _in_file(self) -> Kept | None:
        """Gives what the file has, None where that is of another chain, or is not known to be."""
        kept = None if self._file is None else load(self._file)
        try:
            if kept is not None and self.chain.block(kept.last).hash == kept.hash:
                return kept
        except NotFound:
            pass
        return None

    def _dated(self, logs: Sequence[Log]) -> list[DatedLog]:
        times = self.chain.times({log.block for log in logs})
        return [DatedLog(log, times[log.block]) for log in logs]

    def _decoded(self, logs: Sequence[DatedLog]) -> list[Event]:
        events = (self._decoder.decode(each.log, each.time) for each in logs)
        return [event for event in events if event is not None]
