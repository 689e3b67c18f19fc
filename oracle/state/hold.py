"""Sees to it that one program alone works with a state. Two would send twice, and take each other's
nonces."""

import fcntl
import os
from contextlib import ExitStack

from sqlalchemy import text
from sqlalchemy.engine import Engine

from oracle.errors import ConfigError

_KEY = 0x65786163  # of PostgreSQL's advisory lock, in one schema: "exac"


def hold(engine: Engine) -> ExitStack:
    """Holds a state until what it gives is closed, or the process ends, however it does."""
    held = ExitStack()
    if engine.dialect.name == "postgresql":
        connection = held.enter_context(engine.connect())
        lock = text("SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))")
        is_held = bool(connection.execute(lock, {"key": _KEY}).scalar_one())
        connection.commit()  # the lock is the session's, which is kept
    else:
        is_held = _lock(f"{engine.url.database}.lock", held)
    if not is_held:
        held.close()
        raise ConfigError(
            "Another program works with this state: stop it first, or give --state another place."
        )
    return held


def _lock(file: str, held: ExitStack) -> bool:
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
