"""The tables of what must survive a crash.

Events are what the chain says, and follow it: a block that is replaced takes its rows with it.
Duties follow from events, and from deeds; they are kept so that what is due can be looked up. Deeds
are what we did, and nothing that a chain does takes them back.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()

# The row that says whose state this is: another chain's or account's must not be taken on, nor what
# another key has sent, whose nonces say nothing about ours.
IDENTITY = Table(
    "identity",
    METADATA,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("queue", String(42), nullable=False),
    Column("account", String(42), nullable=False),
    Column("sender", String(42), nullable=False),
    Column("program", String(16), nullable=False),
)

# What the chain says.

# Those that may still be replaced, and the last final one.
BLOCKS = Table(
    "blocks",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
)
# One row: how far blocks are final, and were read since they are; when a program last worked with
# this state, by its clock.
PROGRESS = Table(
    "progress",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("final", BigInteger, nullable=False),
    Column("settled", BigInteger, nullable=False),
    Column("alive_at", Float),
)
EVENTS = Table(
    "events",
    METADATA,
    Column("block_hash", LargeBinary, primary_key=True),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("block", BigInteger, nullable=False, index=True),
    # The model, request, account or commitment whose history it is part of.
    Column("subject", LargeBinary, nullable=False),
    Column("dispute", LargeBinary, index=True),
    Column("kind", String(32), nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Index("events_of", "subject", "block", "log_index"),
)
# Histories to which nothing can be added, as far as was read: they go when that is long final.
ENDED = Table(
    "ended",
    METADATA,
    Column("subject", LargeBinary, primary_key=True),
    Column("until", BigInteger, nullable=False, index=True),  # seconds: the chain's time
)
DUTIES = Table(
    "duties",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("subject", LargeBinary, primary_key=True),
    Column("history", LargeBinary, nullable=False, index=True),  # the subject of its events
    # The event that gave rise to it.
    Column("block", BigInteger, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False, index=True),
    Column("deadline", BigInteger, index=True),
)
# What we make of duties: those that we do not want to do, or could not.
OPINIONS = Table(
    "opinions",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("subject", LargeBinary, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("note", Text, nullable=False),
)
# Histories that we could make nothing of.
STUCK = Table(
    "stuck",
    METADATA,
    Column("subject", LargeBinary, primary_key=True),
    Column("traceback", Text, nullable=False),
)

# What we did.

# Answers computed, answers signed and given away, results of others checked. `lease` is until when,
# by the clock, the program that began a deed alone may do it.
DEEDS = Table(
    "deeds",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("subject", LargeBinary, primary_key=True),  # a request; of a check, a dispute
    Column("request_id", LargeBinary, nullable=False, index=True),
    Column("words", LargeBinary),  # of the request, where the chain may not know it
    Column("deadline", BigInteger, index=True),  # until when, in seconds, it may be posted
    Column("epoch", BigInteger),
    Column("seconds", Float),  # of a processor, that it took
    Column("output", LargeBinary),
    Column("is_right", Boolean),
    Column("lease", Float),
)
# Transactions sent, each for one or more duties.
TRANSACTIONS = Table(
    "transactions",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("gas", BigInteger, nullable=False),
    Column("maximum", String(78), nullable=False),  # wei: beyond 64 bits
    Column("priority", String(78)),
    Column("to", String(42)),
    Column("data", LargeBinary, nullable=False),
    Column("value", String(78), nullable=False),
    Column("sent_at", Float, nullable=False),
    Column("outcome", Integer, nullable=False),
    Column("is_final", Boolean, nullable=False, index=True),
    Column("is_mined", Boolean, nullable=False),
    Column("block", BigInteger, index=True),  # that shows what became of it
    Column("block_hash", LargeBinary),
    Column("gas_used", BigInteger, nullable=False),
)
SENT_FOR = Table(
    "sent_for",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("subject", LargeBinary, primary_key=True),
    Index("sent_of", "kind", "subject"),
)
# Results of others about which we could not have convicted anybody, and why.
UNWATCHED = Table(
    "unwatched",
    METADATA,
    Column("request_id", LargeBinary, primary_key=True),
    Column("reason", Text, nullable=False),
)
