"""Whether an operator's keys, coins, stake and state are fit for a worker."""

import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from oracle.chain import keys as signers
from oracle.chain.rollups import RollupFees
from oracle.cli import show
from oracle.cli.check.findings import Check, Entry, Finding, examined, failure, ok, warning
from oracle.cli.daemon import key_suffix, state_url
from oracle.cli.session import Session
from oracle.errors import ConfigError, NotItsSigner
from oracle.state.store import Store
from oracle.types import Address, Wei

# The dearest that a worker sends for one duty, an answer to a demand (docs/operators.md), and how
# many of these an account should be good for.
DUTY_GAS, DUTY_SIZE, DUTIES = 400_000, 8192, 20
LAG = 1000  # blocks that the state may be behind: a worker reads as many in a moment


@dataclass(frozen=True, slots=True)
class Keystore:
    """A key's file. `password` is None where nobody may be asked for it."""

    path: Path
    password: str | None


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator as its worker will see it. `sender` sends its transactions, and is another than
    the `account` where that has named a hot key; `state` is None where it is kept as usual."""

    session: Session
    account: Address
    sender: Address
    state: str | None
    clock: Callable[[], float] = field(default=time.time)


def keystore_entries(key: Keystore) -> Iterator[Entry]:
    yield from examined("key", key, KEYSTORE_CHECKS)


def entries(operator: Operator) -> Iterator[Entry]:
    yield from examined(f"operator {operator.account}", operator, OPERATOR_CHECKS)


# KEYSTORE


def keystore(key: Keystore) -> Finding:
    address = signers.address_in(key.path)
    if key.password is None:
        return ok(f"{key.path} is the keystore of {address}; without a password it stays shut.")
    return ok(f"{key.path} opens: {signers.open_keystore(key.path, key.password).address}.")


def keystore_mode(key: Keystore) -> Finding:
    return _privacy(key.path)


def _privacy(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return warning(
            f"Others on this machine may use {path} (mode {mode:o}).", f"chmod 600 {path}"
        )
    return ok(f"{path} is its owner's alone.")


# ON CHAIN


def coins(operator: Operator) -> Finding:
    chain, account = operator.session.chain, operator.sender
    has = chain.balance(account)
    gas = DUTY_GAS * chain.fees().maximum
    one = Wei(gas + RollupFees(chain).of((DUTY_SIZE,), DUTY_GAS))
    found = f"{account} has {show.ether(has)}; to answer a demand takes up to {show.ether(one)} now"
    advice = (
        f"Send it {show.amount(Wei(max(0, DUTIES * one - has)))}: unanswered demands cost bonds."
    )
    if has < one:
        return failure(f"{found}.", advice)
    if has < DUTIES * one:
        return warning(f"{found}, and {DUTIES} of them more than it has.", advice)
    return ok(f"{found}.")


def stake(operator: Operator) -> Finding:
    queue = operator.session.queue
    account, least = queue.account_of(operator.account), queue.limits().min_bond
    found = f"{show.ether(account.staked)} are staked, {show.ether(account.locked)} locked"
    slashed = f"; it was slashed {account.epoch} times" if account.epoch else ""
    advice = "Stake more: exactum operator stake."
    if account.free >= least:
        return ok(f"{found}{slashed}.")
    short = f"{found}{slashed}; the least bond is {show.ether(least)}."
    return failure(short, advice) if account.locked == 0 else warning(short, advice)


def mandate(operator: Operator) -> Finding:
    queue, account = operator.session.queue, operator.account
    named, stakes = queue.signer_of(account), queue.account_of(account)
    if operator.sender == account:
        hot = f"; so may {named.signer}, up to {show.ether(named.max_locked)}" if named else ""
        return ok(f"The operator's own key answers{hot}.")
    if named is None or named.signer != operator.sender:
        raise NotItsSigner(operator.sender, account, stakes.epoch)
    room, least = named.max_locked - stakes.locked, queue.limits().min_bond
    found = f"{named.signer} may answer up to {show.ether(named.max_locked)} locked"
    if room < least:
        return warning(
            f"{found}, of which {show.ether(stakes.locked)} are: the least bond finds no room.",
            "Raise --max-locked by exactum operator signer, or wait for windows to be over.",
        )
    return ok(f"{found}.")


def withdrawals(operator: Operator) -> Finding:
    queue = operator.session.queue
    leaving, credit = queue.unstaking_of(operator.account), queue.credit_of(operator.account)
    now = operator.session.chain.block("latest").time
    if leaving.amount and leaving.available_at <= now:
        return warning(
            f"{show.ether(leaving.amount)} were unstaked and can be had"
            f" since {show.when(leaving.available_at)}.",
            "exactum operator withdraw pays them.",
        )
    if leaving.amount:
        when = show.when(leaving.available_at)
        return ok(f"{show.ether(leaving.amount)} are on their way out, until {when}.")
    return ok(f"Nothing is on its way out; the credit is {show.ether(credit)}.")


# STATE


def state(operator: Operator) -> Finding:
    session = operator.session
    url = _url(operator)
    file = _file(url)
    if file is not None and not file.exists():
        return ok(f"There is no state at {file} yet: the first worker makes it.")
    deployment = session.deployment
    store = Store(
        url, deployment.chain_id, deployment.queue, operator.account, operator.sender, looks=True
    )
    try:
        cursor, waiting = store.cursor(), len(store.waiting())
    finally:
        store.close()
    if cursor is None:
        return ok("The state opens, and nothing was read into it yet.")
    last = session.chain.block("latest").number
    found = f"The state has read to block {cursor.number}, {last - cursor.number} behind the last"
    found += f", and {waiting} transactions wait." if waiting else "."
    if last < cursor.number:
        return warning(
            f"The state has read to block {cursor.number}; the node has {last} alone.",
            "The node is behind, or its chain began anew: compare it with another.",
        )
    if last - cursor.number > LAG:
        return warning(found, "Start the worker, or see in its log what it waits for.")
    return ok(found)


def state_mode(operator: Operator) -> Finding:
    file = _file(_url(operator))
    if file is None:
        return ok("The state is no file.")
    if not file.exists():
        return ok(f"There is no {file} yet that others could read.")
    there = [path for path in (file, *(Path(f"{file}{end}") for end in _BESIDE)) if path.exists()]
    found = [_privacy(path) for path in there]
    open_ = [each for each in found if each.advice]
    return open_[0] if open_ else ok(f"{len(found)} files of the state are their owner's alone.")


_BESIDE = "-wal", "-shm"  # what SQLite keeps beside a file


def _url(operator: Operator) -> str:
    suffix = key_suffix(operator.account, operator.sender)
    return operator.state or state_url(operator.session, operator.account, suffix)


def _file(url: str) -> Path | None:
    """Gives the file of a state; None where it is in a database of another kind."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError("--state is no URL of SQLAlchemy's.") from error
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


_KEYS = "exactum keys list shows what there is; exactum keys new makes a key."
_NODE = "See what is said of the node above."
KEYSTORE_CHECKS: tuple[Check[Keystore], ...] = (
    Check("keystore", keystore, _KEYS),
    Check("keystore's mode", keystore_mode, _KEYS),
)
OPERATOR_CHECKS: tuple[Check[Operator], ...] = (
    Check("coins", coins, _NODE),
    Check("stake", stake, _NODE),
    Check("signer", mandate, "Run exactum worker with the key that the operator has named."),
    Check("withdrawals", withdrawals, _NODE),
    # Before it is opened, which takes it from others.
    Check("state's mode", state_mode, "Give the state by --state."),
    Check("state", state, "Give the state of this chain and account by --state."),
)
