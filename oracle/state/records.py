"""What is known of models, requests, proposals and disputes, and what we found out about them."""

from sqlalchemy import delete, func, select, update

from oracle.chain.codec import request_from_bytes
from oracle.chain.disputes import Dispute, replay
from oracle.chain.preimage import model_of
from oracle.state.database import Database
from oracle.state.events import load_event
from oracle.state.schema import (
    CHECKS,
    COMMITMENTS,
    DISPUTE_EVENTS,
    MODELS,
    PROPOSALS,
    REQUESTS,
    SIGNED,
    UNWATCHED,
    URIS,
)
from oracle.types import Address, Model, ModelId, Proposal, Request, RequestId


class Records(Database):
    """Reads what events told, and keeps what we found out."""

    def model(self, model_id: ModelId) -> Model | None:
        found = self.preimage(model_id)
        return None if found is None else model_of(found)

    def preimage(self, model_id: ModelId) -> bytes | None:
        """Gives the preimage of the model's id."""
        with self._begin() as connection:
            query = select(MODELS.c.preimage).where(MODELS.c.model_id == model_id)
            return connection.execute(query).scalar_one_or_none()

    def models(self) -> list[ModelId]:
        """Lists the ids of all published models."""
        with self._begin() as connection:
            return list(map(ModelId, connection.execute(select(MODELS.c.model_id)).scalars()))

    def uris(self, model_id: ModelId) -> list[str]:
        with self._begin() as connection:
            query = select(URIS.c.uri).where(URIS.c.model_id == model_id)
            return list(connection.execute(query).scalars())

    def request(self, request_id: RequestId) -> Request | None:
        with self._begin() as connection:
            query = select(REQUESTS.c.words).where(REQUESTS.c.request_id == request_id)
            words = connection.execute(query).scalar_one_or_none()
        return None if words is None else request_from_bytes(words)

    def payload(self, request_id: RequestId) -> bytes:
        with self._begin() as connection:
            query = select(REQUESTS.c.payload).where(REQUESTS.c.request_id == request_id)
            return bytes(connection.execute(query).scalar_one())

    def proposal(self, request_id: RequestId) -> tuple[Proposal, bytes] | None:
        """Gives the last proposal and its output."""
        with self._begin() as connection:
            query = select(PROPOSALS).where(PROPOSALS.c.request_id == request_id)
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        proposal = Proposal(
            operator=Address(row.operator),
            epoch=row.epoch,
            proposed_at=row.proposed_at,
            settle_at=row.settle_at,
            output_length=len(row.output),
            by_signer=row.by_signer,
        )
        return proposal, row.output

    def declined(self, request_id: RequestId) -> str | None:
        with self._begin() as connection:
            query = select(REQUESTS.c.declined).where(REQUESTS.c.request_id == request_id)
            return connection.execute(query).scalar_one_or_none()

    def output(self, request_id: RequestId) -> bytes | None:
        """Gives the output that we computed, if we have."""
        with self._begin() as connection:
            query = select(REQUESTS.c.output).where(REQUESTS.c.request_id == request_id)
            return connection.execute(query).scalar_one_or_none()

    def keep_output(self, request_id: RequestId, output: bytes, seconds: float) -> None:
        with self._begin() as connection:
            connection.execute(
                update(REQUESTS)
                .where(REQUESTS.c.request_id == request_id)
                .values(output=output, seconds=seconds)
            )

    def took(self, request_id: RequestId) -> float | None:
        """Gives the seconds that our run took, or None where they are not known."""
        with self._begin() as connection:
            query = select(REQUESTS.c.seconds).where(REQUESTS.c.request_id == request_id)
            found: float | None = connection.execute(query).scalar_one_or_none()
            if found is None:  # what was signed before the chain knew of it is not run again
                query = select(SIGNED.c.seconds).where(SIGNED.c.request_id == request_id)
                found = connection.execute(query).scalar_one_or_none()
        return found

    def dispute(self, key: bytes) -> Dispute:
        """Gives the dispute with that key as far as its events are read."""
        query = (
            select(DISPUTE_EVENTS.c.event)
            .where(DISPUTE_EVENTS.c.dispute == key)
            .order_by(DISPUTE_EVENTS.c.block, DISPUTE_EVENTS.c.log_index)
        )
        with self._begin() as connection:
            rows = list(connection.execute(query).scalars())
        return replay(key, map(load_event, rows))

    def disputes(self, request_id: RequestId) -> list[Dispute]:
        """Lists the disputes about a request, one for each of its proposals that was disputed."""
        query = (
            select(DISPUTE_EVENTS.c.dispute)
            .where(DISPUTE_EVENTS.c.request_id == request_id)
            .group_by(DISPUTE_EVENTS.c.dispute)
            .order_by(func.min(DISPUTE_EVENTS.c.block))
        )
        with self._begin() as connection:
            keys = list(connection.execute(query).scalars())
        return [self.dispute(key) for key in keys]

    def committed(self, commitment: bytes) -> int | None:
        """Gives the block of a commitment, or None where there is none."""
        query = select(COMMITMENTS.c.block).where(COMMITMENTS.c.commitment == commitment)
        with self._begin() as connection:
            return connection.execute(query).scalar_one_or_none()

    def is_right(self, dispute: bytes) -> bool | None:
        """Says whether a proposal was right when we ran it again. Gives None where we have not
        yet."""
        query = select(CHECKS.c.is_right).where(CHECKS.c.dispute == dispute)
        with self._begin() as connection:
            return connection.execute(query).scalar_one_or_none()

    def wrong(self) -> int:
        """Counts the proposals that we ever found to be wrong."""
        query = select(func.count()).select_from(CHECKS).where(CHECKS.c.is_right.is_(False))
        with self._begin() as connection:
            return int(connection.execute(query).scalar_one())

    def report(self, request_id: RequestId, reason: str) -> None:
        """Keeps why nobody could be convicted about a result; an empty reason forgets it."""
        with self._begin() as connection:
            connection.execute(delete(UNWATCHED).where(UNWATCHED.c.request_id == request_id))
            if reason:
                self._insert(connection, UNWATCHED, request_id=request_id, reason=reason)

    def unwatched(self) -> dict[RequestId, str]:
        """Lists the results about which nobody could be convicted, with the reasons."""
        with self._begin() as connection:
            rows = connection.execute(select(UNWATCHED)).all()
        return {RequestId(row.request_id): row.reason for row in rows}
