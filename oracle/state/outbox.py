"""The transactions that were sent, and what became of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy import Row as Found

from oracle.chain.node import Call, Fees
from oracle.chain.replies import Receipt
from oracle.chain.transactions import Outcome, Sent
from oracle.state.duties import DutyKind, Key
from oracle.state.facts import parts
from oracle.state.news import News
from oracle.state.schema import BLOCKS, SENT_FOR, TRANSACTIONS
from oracle.types import Address, Wei

_OF = TRANSACTIONS.c
_HAS_MOVED = exists().where(BLOCKS.c.number == _OF.block, BLOCKS.c.hash != _OF.block_hash)
_IS_READ = exists().where(BLOCKS.c.number == _OF.block, BLOCKS.c.hash == _OF.block_hash)
_UNSETTLED = update(TRANSACTIONS).where(_OF.nonce == bindparam("of_nonce"), _OF.is_final.is_(False))
_DISPLACE = _UNSETTLED.values(
    outcome=Outcome.DISPLACED,
    block=bindparam("in_block"),
    block_hash=None,
    is_mined=False,
    gas_used=0,
)
_MINE = _UNSETTLED.where(_OF.hash == bindparam("of_hash")).values(
    outcome=bindparam("as_outcome"),
    block_hash=bindparam("in_block_hash"),
    is_mined=True,
    gas_used=bindparam("of_gas"),
)


class StoredOutbox(News):
    """The sender's outbox. A duty is SENT while a transaction of it may yet be mined; it goes by
    what is kept here, so both change together."""

    def record(self, *given: tuple[Sent, Sequence[Key]]) -> None:
        """Keeps transactions that are about to leave, each with the duties that it does. They may
        be of before, to the last bit, where a chain goes back further than was final."""
        hashes = [sent.hash for sent, _ in given]
        duties = [
            {"hash": sent.hash, "kind": str(kind), "subject": bytes(subject)}
            for sent, keys in given
            for kind, subject in keys
        ]
        self._tell(subject for _, keys in given for _, subject in keys)
        with self._begin() as connection:
            for table in (TRANSACTIONS, SENT_FOR):
                connection.execute(delete(table).where(table.c.hash.in_(hashes)))
            connection.execute(TRANSACTIONS.insert(), [_values(sent) for sent, _ in given])
            if duties:
                connection.execute(SENT_FOR.insert(), duties)

    def keys_of(self, hash_: bytes) -> list[Key]:
        """Lists the duties that a transaction does."""
        query = select(SENT_FOR.c.kind, SENT_FOR.c.subject).where(SENT_FOR.c.hash == hash_)
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return [(DutyKind(kind), bytes(subject)) for kind, subject in rows]  # type: ignore[misc]

    def followed(self, *conditions: ColumnElement[bool]) -> list[Sent]:
        """Gives all transactions whose outcome is not final, by nonce, and of each nonce the last
        sent one last."""
        query = select(TRANSACTIONS).where(_OF.is_final.is_(False), *conditions)
        with self._begin() as connection:
            return list(map(_sent, connection.execute(query.order_by(_OF.nonce, _OF.sent_at))))

    def restless(self, mined: int, final: int) -> list[Sent]:
        """Gives those of `followed` of which there may be news: all but those whose nonce, below
        `mined`, was seen to be used in a block that was read, still stands and is after `final`. Of
        any other block, a receipt alone says that it is there."""
        quiet = select(_OF.nonce).where(
            _OF.is_final.is_(False),
            _OF.outcome.in_((Outcome.SUCCEEDED, Outcome.FAILED)),
            _OF.block > final,
            _OF.nonce < mined,
            _IS_READ,
        )
        return self.followed(_OF.nonce.not_in(quiet))

    def waiting(self) -> list[Sent]:
        """Gives the transactions of which nobody knows what becomes of them."""
        return self.followed(_OF.outcome == Outcome.WAITING)

    def nonces(self, *outcomes: Outcome) -> set[int]:
        """Gives the nonces of transactions with such an outcome, as far as it is not final."""
        query = select(_OF.nonce).where(_OF.is_final.is_(False), _OF.outcome.in_(outcomes))
        with self._begin() as connection:
            return set(connection.execute(query).scalars())

    def succeeded(self, keys: Sequence[Key]) -> set[Key]:
        """Gives those duties that a transaction did well, as its receipt says, and that are owed
        all the same."""
        found: set[Key] = set()
        is_done = and_(SENT_FOR.c.hash == _OF.hash, _OF.outcome == Outcome.SUCCEEDED)
        query = select(SENT_FOR.c.kind, SENT_FOR.c.subject).join(TRANSACTIONS, is_done)
        with self._begin() as connection:
            for some in parts([(str(kind), bytes(subject)) for kind, subject in keys]):
                these = query.where(tuple_(SENT_FOR.c.kind, SENT_FOR.c.subject).in_(some))
                for kind, subject in connection.execute(these):
                    found.add((DutyKind(kind), bytes(subject)))  # type: ignore[arg-type]
        return found

    def moved(self) -> set[int]:
        """Gives the nonces whose transactions were mined in a block that was replaced since."""
        query = select(_OF.nonce).where(_OF.is_final.is_(False), _HAS_MOVED)
        with self._begin() as connection:
            return set(connection.execute(query).scalars())

    def mark(self, nonce: int, outcome: Outcome, block: int) -> None:
        """Keeps what became of all transactions of a nonce, as it shows in a block."""
        with self._begin() as connection:
            self._tell_of(connection, _OF.nonce == nonce)
            connection.execute(
                update(TRANSACTIONS)
                .where(_OF.nonce == nonce, _OF.is_final.is_(False))
                .values(outcome=outcome, block=block, block_hash=None, is_mined=False, gas_used=0)
            )

    def mark_mined(self, receipts: Mapping[int, Receipt]) -> None:
        """Keeps, of each nonce, that one transaction was mined, and so none of the others."""
        with self._begin() as connection:
            for some in parts(list(receipts)):
                self._tell_of(connection, _OF.nonce.in_(some))
            if receipts:
                rows = [_mined(nonce, receipt) for nonce, receipt in receipts.items()]
                connection.execute(_DISPLACE, rows)
                connection.execute(_MINE, rows)

    def mark_waiting(self, nonce: int) -> None:
        """Keeps that no transaction of a nonce is mined, though one was, and all are offered."""
        with self._begin() as connection:
            self._tell_of(connection, _OF.nonce == nonce)
            connection.execute(
                update(TRANSACTIONS)
                .where(_OF.nonce == nonce, _OF.is_final.is_(False))
                .values(
                    outcome=Outcome.WAITING,
                    block=None,
                    block_hash=None,
                    is_mined=False,
                    gas_used=0,
                )
            )

    def mark_one(self, hash_: bytes, outcome: Outcome) -> None:
        """Keeps what became of one transaction, which is in no block."""
        with self._begin() as connection:
            self._tell_of(connection, _OF.hash == hash_)
            connection.execute(
                update(TRANSACTIONS).where(_OF.hash == hash_).values(outcome=outcome)
            )

    def finish(self, *nonces: int) -> None:
        """Follows nonces no further: what became of them is final. What was sent is of no use any
        more, and would fill the disk."""
        with self._begin() as connection:
            for some in parts(nonces):
                is_of_one = update(TRANSACTIONS).where(_OF.nonce.in_(some), _OF.is_final.is_(False))
                connection.execute(is_of_one.values(is_final=True, raw=b"", data=b""))

    def _tell_of(self, connection: Connection, condition: ColumnElement[bool]) -> None:
        """Tells of the duties of some transactions, of which something is known now."""
        query = select(SENT_FOR.c.subject).join(TRANSACTIONS, SENT_FOR.c.hash == _OF.hash)
        unsettled = query.where(_OF.is_final.is_(False), condition)
        self._tell(bytes(each) for each in connection.execute(unsettled).scalars())

    def spent(self) -> Wei:
        """Adds up the most that may have been spent: the gas of all that was mined, at the highest
        price that it might have paid, the value sent with it, and all that still waits."""
        query = select(_OF.maximum, _OF.value, _OF.gas, _OF.gas_used, _OF.outcome).where(
            or_(_OF.is_mined, _OF.outcome == Outcome.WAITING)
        )
        with self._begin() as connection:
            rows = connection.execute(query).all()
        total = 0
        for row in rows:
            gas = row.gas if row.outcome == Outcome.WAITING else row.gas_used
            total += gas * int(row.maximum)
            total += 0 if row.outcome == Outcome.FAILED else int(row.value)
        return Wei(total)

    def gas_spent(self) -> float:
        """Adds up the most that the gas of all that was mined may have cost, in wei, to within what
        a float holds: for a look at it, which must not read all rows."""
        query = select(func.sum(cast(_OF.gas_used, Float) * cast(_OF.maximum, Float)))
        with self._begin() as connection:
            return float(connection.execute(query.where(_OF.is_mined)).scalar_one() or 0.0)


def _mined(nonce: int, receipt: Receipt) -> dict[str, object]:
    return {
        "of_nonce": nonce,
        "of_hash": receipt.transaction,
        "as_outcome": Outcome.SUCCEEDED if receipt.succeeded else Outcome.FAILED,
        "in_block": receipt.block,
        "in_block_hash": receipt.block_hash,
        "of_gas": receipt.gas_used,
    }


def _values(sent: Sent) -> dict[str, object]:
    priority = sent.fees.priority
    return {
        "hash": sent.hash,
        "raw": sent.raw,
        "nonce": sent.nonce,
        "gas": sent.gas,
        "maximum": str(sent.fees.maximum),
        "priority": None if priority is None else str(priority),
        "to": sent.call.to,
        "data": sent.call.data,
        "value": str(sent.call.value),
        "sent_at": sent.sent_at,
        "outcome": Outcome.WAITING,
        "is_final": False,
        "is_mined": False,
        "gas_used": 0,
    }


def _sent(row: "Found[tuple[Any, ...]]") -> Sent:
    priority = None if row.priority is None else Wei(int(row.priority))
    return Sent(
        hash=row.hash,
        raw=row.raw,
        nonce=row.nonce,
        gas=row.gas,
        fees=Fees(Wei(int(row.maximum)), priority),
        call=Call(None if row.to is None else Address(row.to), row.data, Wei(int(row.value))),
        sent_at=row.sent_at,
        outcome=Outcome(row.outcome),
        block=row.block,
    )
