"""The transactions that were sent, and those that wait."""

import json

from sqlalchemy import select, update

from oracle.chain.node import Call, Fees
from oracle.chain.transactions import Outcome, Sent
from oracle.state.database import Database
from oracle.state.duties import State
from oracle.state.schema import DUTIES, TRANSACTIONS
from oracle.types import Address, Wei


class StoredOutbox(Database):
    """The sender's outbox."""

    def record(self, sent: Sent) -> None:
        """Stores the transaction together with its duties' new state: both or neither."""
        priority = sent.fees.priority
        with self._begin() as connection:
            connection.execute(
                TRANSACTIONS.insert().values(
                    hash=sent.hash,
                    raw=sent.raw,
                    nonce=sent.nonce,
                    gas=sent.gas,
                    maximum=str(sent.fees.maximum),
                    priority=None if priority is None else str(priority),
                    to=sent.call.to,
                    data=sent.call.data,
                    value=str(sent.call.value),
                    duties=json.dumps(sent.duties),
                    sent_at=sent.sent_at,
                    outcome=Outcome.WAITING,
                )
            )
            connection.execute(
                update(DUTIES)
                .where(DUTIES.c.id.in_(sent.duties), DUTIES.c.state == State.OPEN)
                .values(state=State.SENT)
            )

    def waiting(self) -> list[Sent]:
        query = (
            select(TRANSACTIONS)
            .where(TRANSACTIONS.c.outcome == Outcome.WAITING)
            .order_by(TRANSACTIONS.c.nonce, TRANSACTIONS.c.sent_at)
        )
        with self._begin() as connection:
            rows = connection.execute(query).all()
        return [
            Sent(
                hash=row.hash,
                raw=row.raw,
                nonce=row.nonce,
                gas=row.gas,
                fees=Fees(
                    Wei(int(row.maximum)), None if row.priority is None else Wei(int(row.priority))
                ),
                call=Call(
                    None if row.to is None else Address(row.to), row.data, Wei(int(row.value))
                ),
                duties=tuple(json.loads(row.duties)),
                sent_at=row.sent_at,
            )
            for row in rows
        ]

    def close_nonce(self, nonce: int, outcome: Outcome, mined: bytes | None, gas_used: int) -> None:
        """Closes all transactions of a nonce. A duty whose transaction succeeded stays SENT until
        its event is read; any other is open again."""
        open_ones = (TRANSACTIONS.c.nonce == nonce) & (TRANSACTIONS.c.outcome == Outcome.WAITING)
        with self._begin() as connection:
            lists = connection.execute(select(TRANSACTIONS.c.duties).where(open_ones)).scalars()
            duties = {duty for each in lists for duty in json.loads(each)}
            connection.execute(update(TRANSACTIONS).where(open_ones).values(outcome=outcome))
            connection.execute(
                update(TRANSACTIONS)
                .where(TRANSACTIONS.c.hash == mined)
                .values(is_mined=True, gas_used=gas_used)
            )
            if outcome is not Outcome.SUCCEEDED:
                connection.execute(
                    update(DUTIES)
                    .where(DUTIES.c.id.in_(duties), DUTIES.c.state == State.SENT)
                    .values(state=State.OPEN)
                )

    def spent(self) -> Wei:
        """Adds up the most that may have been spent: the gas of all that was mined, at the highest
        price that it might have paid, the value sent with it, and all that still waits."""
        columns = TRANSACTIONS.c
        query = select(
            columns.maximum, columns.value, columns.gas, columns.gas_used, columns.outcome
        ).where(columns.is_mined | (columns.outcome == Outcome.WAITING))
        with self._begin() as connection:
            rows = connection.execute(query).all()
        total = 0
        for row in rows:
            gas = row.gas if row.outcome == Outcome.WAITING else row.gas_used
            total += gas * int(row.maximum)
            total += 0 if row.outcome == Outcome.FAILED else int(row.value)
        return Wei(total)
