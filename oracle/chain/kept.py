"""Keeps logs of old blocks in a file, so that a node need not be asked for them again."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oracle.chain import replies
from oracle.chain.replies import Log


@dataclass(frozen=True, slots=True)
class DatedLog:
    log: Log
    time: int  # of its block, in seconds


@dataclass(frozen=True, slots=True)
class Kept:
    """All logs up to a block, and that block."""

    last: int
    hash: bytes
    logs: Sequence[DatedLog] = field(default=())


def load(path: Path) -> Kept | None:
    """Gives what is in the file, None where there is none or it is not as it was written."""
    try:
        content = json.loads(path.read_text())
        logs = list(map(_dated, replies.items(content["logs"])))
        return Kept(replies.amount(content["last"]), replies.data(content["hash"], 32), logs)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _dated(value: Any) -> DatedLog:
    return DatedLog(replies.log(value), replies.amount(value["time"]))


def save(path: Path, kept: Kept) -> None:
    """Writes the file, which nobody else may read, in one go. Where it cannot be written, what is
    in it is asked for again."""
    content = {
        "last": kept.last,
        "hash": "0x" + kept.hash.hex(),
        "logs": [_written(each) for each in kept.logs],
    }
    fresh = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(content, file)
        fresh.replace(path)


def _written(each: DatedLog) -> dict[str, Any]:
    log = each.log
    return {
        "address": log.address,
        "topics": ["0x" + topic.hex() for topic in log.topics],
        "data": "0x" + log.data.hex(),
        "blockNumber": log.block,
        "blockHash": "0x" + log.block_hash.hex(),
        "logIndex": log.index,
        "transactionHash": "0x" + log.transaction.hex(),
        "time": each.time,
    }
