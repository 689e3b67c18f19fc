"""The tables of what must survive a crash."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
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
)
CURSOR = Table(
    "cursor",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
MODELS = Table(
    "models",
    METADATA,
    Column("model_id", LargeBinary, primary_key=True),
    Column("preimage", LargeBinary, nullable=False),
)
URIS = Table(
    "uris",
    METADATA,
    Column("model_id", LargeBinary, primary_key=True),
    Column("uri", Text, primary_key=True),
)
REQUESTS = Table(
    "requests",
    METADATA,
    Column("request_id", LargeBinary, primary_key=True),
    Column("words", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("output", LargeBinary),  # ours, computed
    Column("seconds", Float),  # of a processor, that it took
    Column("declined", Text),
)
# Answers that we signed and gave away. What the chain does takes none of them back.
SIGNED = Table(
    "signed",
    METADATA,
    Column("request_id", LargeBinary, primary_key=True),
    Column("words", LargeBinary, nullable=False),
    Column("deadline", BigInteger, nullable=False, index=True),
    Column("epoch", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("output", LargeBinary),  # until nobody can post it any more
)
PROPOSALS = Table(
    "proposals",
    METADATA,
    Column("request_id", LargeBinary, primary_key=True),
    Column("operator", String(42), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("settle_at", BigInteger, nullable=False),
    Column("by_signer", Boolean, nullable=False),
    Column("output", LargeBinary, nullable=False),
)
DUTIES = Table(
    "duties",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("deadline", BigInteger),
    Column("state", String(16), nullable=False, index=True),
    Column("note", Text, nullable=False, default=""),
    # The event that gave rise to it: reading a block twice makes no second duty.
    UniqueConstraint("kind", "subject", "block", "log_index"),
)
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
    Column("duties", Text, nullable=False),
    Column("sent_at", Float, nullable=False),
    Column("outcome", Integer, nullable=False, index=True),
    Column("is_mined", Boolean, nullable=False, default=False),
    Column("gas_used", BigInteger, nullable=False, default=0),
)
DISPUTE_EVENTS = Table(
    "dispute_events",
    METADATA,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("request_id", LargeBinary, nullable=False, index=True),
    Column("dispute", LargeBinary, nullable=False, index=True),
    Column("event", Text, nullable=False),
)
COMMITMENTS = Table(
    "commitments",
    METADATA,
    Column("commitment", LargeBinary, primary_key=True),
    Column("block", BigInteger, nullable=False),
)
# Proposals of others that we ran again.
CHECKS = Table(
    "checks",
    METADATA,
    Column("dispute", LargeBinary, primary_key=True),
    Column("request_id", LargeBinary, nullable=False, index=True),
    Column("is_right", Boolean, nullable=False),
)
# Results of others about which we could not have convicted anybody, and why.
UNWATCHED = Table(
    "unwatched",
    METADATA,
    Column("request_id", LargeBinary, primary_key=True),
    Column("reason", Text, nullable=False),
)
STUCK = Table(
    "stuck",
    METADATA,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
    Column("traceback", Text, nullable=False),
)
