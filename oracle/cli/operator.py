"""`exactum operator`: the money behind an operator's results."""

import click

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
@on_chain
@click.option("--key", metavar="NAME", help="Whose account, if no ADDRESS is given.")
@json_option
def status(
    address: Address | None,
    session: Session,
    key: str | None,
    as_json: bool,
) -> None:
    """Shows what an operator has staked, locked and earned. It takes no password."""
    _show(session, address or address_of(key), as_json)


def _show(session: Session, address: Address, as_json: bool) -> None:
    account = session.queue.account_of(address)
    unstaking = session.queue.unstaking_of(address)
    credit = session.queue.credit_of(address)
    balance = session.chain.balance(address)
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
        "credit": f"{show.ether(credit)} (exactum operator withdraw pays it)",
        "balance": f"{show.ether(balance)} (outside the contracts, pays for gas)",
    }
    if unstaking.amount:
        available = show.when(unstaking.available_at)
        rows["unstaking"] = f"{show.ether(unstaking.amount)}, from {available}"
    show.print_fields(address, rows)
