"""`exactum operator`: the money behind an operator's results."""

import click

from oracle.chain.contracts import HotSigner
from oracle.chain.keys import Signer
from oracle.cli import show
from oracle.cli.options import (
    ACCOUNT,
    MONEY,
    json_option,
)
from oracle.cli.session import Session, address_of, on_chain, signing
from oracle.types import Address, Wei


@click.group()
def operator() -> None:
    """Stakes for an operator, shows its account, and takes money out again.

    An operator's stake is one balance: each proposal locks a bond out of it until its result is
    settled, and fees are added to it.
    """


@operator.command()
@click.argument("amount", type=MONEY)
@on_chain
@signing
@json_option
def stake(
    amount: Wei,
    session: Session,
    signer: Signer,
    as_json: bool,
) -> None:
    """Adds AMOUNT to the stake.

    \b
    Example:
      exactum operator stake 1ether --key operator
    """
    session.transact(signer, session.queue.stake(amount))
    _show(session, signer.address, as_json)


@operator.command()
@click.argument("amount", type=MONEY)
@on_chain
@signing
@json_option
def unstake(
    amount: Wei,
    session: Session,
    signer: Signer,
    as_json: bool,
) -> None:
    """Takes AMOUNT out of the free stake; exactum operator withdraw pays it after the delay."""
    session.transact(signer, session.queue.unstake(amount))
    _show(session, signer.address, as_json)


@operator.command()
@click.option("--account", type=ACCOUNT, help="Whose money. [default: the key's]")
@on_chain
@signing
@json_option
def withdraw(
    account: Address | None,
    session: Session,
    signer: Signer,
    as_json: bool,
) -> None:
    """Pays out all that is due: unstaked wei whose delay is over, refunds, royalties.

    With --account the money goes to that account, a consumer contract for example; it never goes
    anywhere else.
    """
    of = account or signer.address
    session.transact(signer, session.queue.withdraw(of))
    _show(session, of, as_json)


@operator.command()
@click.argument("address", type=ACCOUNT, required=False)
@click.option(
    "--max-locked",
    type=MONEY,
    help="The most that may be locked once an answer of that key's is posted: what it could lose"
    " you, if it were stolen.",
)
@click.option("--none", "is_none", is_flag=True, help="Let no key but your own answer.")
@on_chain
@signing
@json_option
def signer(
    address: Address | None,
    max_locked: Wei | None,
    is_none: bool,
    session: Session,
    signer: Signer,
    as_json: bool,
) -> None:
    """Lets the key of ADDRESS answer in your name, in place of the key before, until you are
    slashed.

    The stake's key may then lie in a safe, and exactum worker --operator runs with the other. After
    a slash nobody but you may answer until you send this again.

    \b
    Examples:
      exactum operator signer 0x7099…79C8 --max-locked 1ether --key cold
      exactum operator signer --none --key cold
    """
    if is_none == (address is not None) or is_none == (max_locked is not None):
        raise click.UsageError("Give an ADDRESS and --max-locked, or --none alone.")
    if address == signer.address:
        raise click.UsageError("Your own key may answer in your name already: name another.")
    session.transact(signer, session.queue.set_signer(address, max_locked or Wei(0)))
    _show(session, signer.address, as_json)


@operator.command()
@click.argument("address", type=ACCOUNT, required=False)
@on_chain
@click.option("--key", metavar="NAME", help="Whose account, if no ADDRESS is given.")
@json_option
def status(
    address: Address | None,
    session: Session,
    key: str | None,
    as_json: bool,
) -> None:
    """Shows what an operator has staked, locked and earned, and who may answer in its name. It
    takes no password."""
    _show(session, address or address_of(key), as_json)


def _show(session: Session, address: Address, as_json: bool) -> None:
    account = session.queue.account_of(address)
    unstaking = session.queue.unstaking_of(address)
    credit = session.queue.credit_of(address)
    balance = session.chain.balance(address)
    named = session.queue.signer_of(address)
    ended = None
    if named is None and account.epoch > 0:
        ended = session.queue.signer_in(address, account.epoch - 1)
    least = session.queue.limits().min_bond
    if as_json:
        show.print_json(
            {
                "address": address,
                "staked": str(account.staked),
                "locked": str(account.locked),
                "free": str(account.free),
                "least_bond": str(least),
                "epoch": account.epoch,
                "signer": named and named.signer,
                "max_locked": named and str(named.max_locked),
                "ended_signer": ended and ended.signer,
                "unstaking": str(unstaking.amount),
                "available_at": unstaking.available_at,
                "credit": str(credit),
                "balance": str(balance),
            }
        )
        return
    short = f" (too little to answer: the least bond is {show.ether(least)})"
    rows: dict[str, object] = {
        "staked": show.ether(account.staked),
        "locked in bonds": show.ether(account.locked),
        "free": show.ether(account.free) + (short if account.free < least else ""),
        "slashed": f"{account.epoch} times",
        **_signer(named, ended),
        "credit": f"{show.ether(credit)} (exactum operator withdraw pays it)",
        "balance": f"{show.ether(balance)} (outside the contracts, pays for gas)",
    }
    if unstaking.amount:
        available = show.when(unstaking.available_at)
        rows["unstaking"] = f"{show.ether(unstaking.amount)}, from {available}"
    show.print_fields(address, rows)


def _signer(named: HotSigner | None, ended: HotSigner | None) -> dict[str, object]:
    if named is not None:
        most = f"{show.ether(named.max_locked)} locked at most, until the next slash"
        return {"signer": named.signer, "its limit": most}
    if ended is not None:
        return {"signer": f"nobody: a slash ended {ended.signer}"}
    return {"signer": "nobody but the operator itself"}
