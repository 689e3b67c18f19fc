"""`exactum request`, `result`, `expire` and `retry-callback`: the life of one request."""

import time
from functools import partial

import click
from rich.text import Text

from oracle.chain.contracts import Options
from oracle.chain.decoder import Decoder
from oracle.chain.events import RequestCreated
from oracle.chain.histories import ModelHistory, RequestHistory
from oracle.chain.keys import Signer
from oracle.chain.rollups import RollupFees
from oracle.chain.sizes import answer_sizes
from oracle.challenger.policy import least_bond
from oracle.cli import payload as payloads
from oracle.cli import show
from oracle.cli.files import local_dictionary, model_files, model_path
from oracle.cli.options import (
    ACCOUNT,
    DURATION,
    MODEL,
    MONEY,
    REQUEST,
    json_option,
    local_files_option,
)
from oracle.cli.session import Session, on_chain, signing
from oracle.config import Settings
from oracle.errors import ChainError, ConfigError, ModelError, PayloadError
from oracle.exact.program_file import dictionary
from oracle.merkle import payload_root
from oracle.types import Address, Assurance, ModelId, RequestId, Status, Wei
from oracle.values import classes, elements

POLL = 0.5  # seconds


@click.command()
@click.argument("model_id", type=MODEL, metavar="MODEL")
@click.option(
    "--input",
    "text",
    required=True,
    metavar="JSON|@FILE|0xHEX",
    help="One input: nested lists. Several: an object by name. Strings are read as places in the"
    " list that the model's program file has of them. Or the payload in hexadecimal.",
)
@click.option("--fee", type=MONEY, help="What you pay. [default: twice what an answer costs now]")
@click.option(
    "--bond", type=MONEY, help="What the operator risks. [default: the least that is allowed]"
)
@click.option("--window", type=DURATION, help="For challenges. [default: the shortest]")
@click.option(
    "--timeout",
    type=DURATION,
    default="1h",
    show_default=True,
    help="After which the request expires and you are refunded.",
)
@click.option("--operator", type=ACCOUNT, help="Who alone may answer. [default: anyone]")
@click.option("--wait", is_flag=True, help="Wait until the result is final, and show it.")
@local_files_option
@on_chain
@signing
@json_option
def request(
    model_id: ModelId,
    text: str,
    fee: Wei | None,
    bond: Wei | None,
    window: int | None,
    timeout: int,
    operator: Address | None,
    wait: bool,
    allow_local_files: bool,
    session: Session,
    signer: Signer,
    as_json: bool,
) -> None:
    """Asks MODEL for one inference and escrows the fee.

    \b
    Examples:
      exactum request 0x1f… --input '[[5.1, 3.5, 1.4, 0.2]]' --wait
      exactum request 0x1f… --input @row.json --fee 0.01ether --bond 0.1ether
    """
    found = session.history.model(model_id)
    if found.is_deprecated:
        use = f"; its publisher says to use {show.hex_(found.successor)}" if found.successor else ""
        show.err.print(f"The model is deprecated{use}.", style="yellow")
    known = partial(categories_of, found, session.settings, allow_local_files)
    data = payloads.parse(text, found.model.signature, known)
    limits = session.queue.limits()
    options = Options(
        bond=limits.min_bond if bond is None else bond,
        window=limits.min_window if window is None else window,
        timeout=timeout,
        operator=operator,
    )
    gas_price = session.chain.gas_price()
    if fee is None:
        fee = Wei(2 * _cost(session, found, gas_price))
    _warn_of_bond(options.bond, gas_price)
    receipt = session.transact(signer, session.queue.request(model_id, data, fee, options))
    decoded = (Decoder().decode(log, 0) for log in receipt.logs)
    created = next((event for event in decoded if isinstance(event, RequestCreated)), None)
    if created is None:
        raise ChainError("The transaction went through but made no request: is it a proxy?")
    if not as_json:
        show.out.print(show.styled("Request [bold]{}[/]", show.hex_(created.request_id)))
        show.out.print(f"fee {show.ether(fee)}, {receipt.gas_used:,} gas")
    if wait:
        _show_result(session, created.request_id, True, as_json)
    elif as_json:
        show.print_json(
            {
                "request_id": created.request_id,
                "request": created.request,
                "gas_used": receipt.gas_used,
                "transaction": receipt.transaction,
            }
        )


@click.command()
@click.argument("request_id", type=REQUEST, metavar="REQUEST")
@click.option("--wait", is_flag=True, help="Wait until the result is final, or none can come.")
@on_chain
@json_option
def result(request_id: RequestId, wait: bool, session: Session, as_json: bool) -> None:
    """Shows the result of REQUEST, and whether it is final.

    A result that is not final may still be wrong and be replaced: show it, but do not pay on it.
    Exits with 2 while there is no result, and with 3 while it is not final.
    """
    code = _show_result(session, request_id, wait, as_json)
    click.get_current_context().exit(code)


@click.command()
@click.argument("request_id", type=REQUEST, metavar="REQUEST")
@on_chain
@signing
@json_option
def expire(
    request_id: RequestId,
    session: Session,
    signer: Signer,
    as_json: bool,
) -> None:
    """Ends REQUEST, which nobody answered in time, and credits the whole fee.

    Anyone may do this. exactum operator withdraw --account then pays the fee out.
    """
    asked = session.history.request(request_id).created.request
    receipt = session.transact(signer, session.queue.expire(asked))
    if as_json:
        show.print_json(
            {"refund_to": asked.refund_to, "refund": asked.fee, "gas_used": receipt.gas_used}
        )
    else:
        show.out.print(f"Expired: {show.ether(asked.fee)} credited to {asked.refund_to}.")


@click.command(name="retry-callback")
@click.argument("request_id", type=REQUEST, metavar="REQUEST")
@on_chain
@signing
def retry_callback(
    request_id: RequestId,
    session: Session,
    signer: Signer,
) -> None:
    """Repeats the callback of REQUEST, which failed when it was settled."""
    found = session.history.request(request_id)
    if found.proposed is None:
        raise ConfigError("The request has no result, so there is nothing to call back with.")
    call = session.queue.retry_callback(
        found.created.request, found.proposed.proposal, found.proposed.output
    )
    session.transact(signer, call)
    failure = session.history.request(request_id).callback_failed
    if failure is not None:
        raise ChainError(f"The consumer failed again, with 0x{failure.reason.hex()}.")
    show.out.print("Delivered.")


def categories_of(found: ModelHistory, settings: Settings, allow_local: bool) -> tuple[str, ...]:
    """Gives the strings that the model's program file says it knows at its inputs."""
    if found.model.assurance is Assurance.VANILLA:
        return ()
    try:
        path = model_path(found, None, settings, allow_local)
    except ModelError as error:
        raise PayloadError(
            f"The places of strings are in the model's program file, which is not here: {error}"
            " exactum model add-file puts it here."
        ) from error
    known = dictionary(path).categories
    if known:
        note = f"Strings are places in the list of {path.name}, which the id does not bind."
        show.err.print(note, style="yellow")
    return known


def _cost(session: Session, found: ModelHistory, gas_price: Wei) -> Wei:
    """Gives what an answer costs its operator now: royalty, gas, and what a rollup charges
    besides, of which the queue's quote knows nothing."""
    quoted = session.queue.quote(found.model_id, 0, gas_price)
    gas = session.queue.quote(found.model_id, 0, Wei(1)) - found.model.royalty
    sizes = answer_sizes(found.model.signature.output_length)
    return Wei(quoted + RollupFees(session.chain).of(sizes, gas))


def _warn_of_bond(bond: Wei, gas_price: Wei) -> None:
    least = least_bond(gas_price)
    if bond < least:
        show.err.print(
            show.styled(
                "[yellow]A bond of {} pays for no conviction at the present {} a gas, so a lie may"
                " go unchallenged: --bond {} would.[/]",
                show.ether(bond),
                show.ether(gas_price),
                show.amount(least),
            )
        )


def _show_result(session: Session, request_id: RequestId, wait: bool, as_json: bool) -> int:
    found = session.history.request(request_id)
    if wait:
        with show.err.status("Waiting for the result…") as status:
            while not _is_over(session, found):
                status.update(Text.assemble("Waiting: ", _state(session, found)))
                time.sleep(POLL)
                found = session.history.request(request_id)
    is_final = _is_final(session, found)
    model = session.history.model(found.created.request.model).model
    files = model_files(session.settings)
    tensors, known = model.signature.outputs, local_dictionary(model, files)
    labels = () if known is None else known.labels
    proposed = found.proposed
    if as_json:
        show.print_json(
            {
                "request_id": request_id,
                "status": found.status,
                "is_final": is_final,
                "is_disputed": proposed.proposal.is_suspended if proposed else False,
                "operator": proposed.proposal.operator if proposed else None,
                "settle_at": proposed.proposal.settle_at if proposed else None,
                "output": proposed.output if proposed else None,
                "output_root": payload_root(proposed.output) if proposed else None,
                "values": elements(proposed.output, tensors) if proposed else None,
                "classes": classes(proposed.output, tensors, labels) if proposed else None,
                "labels": None if known is None else list(labels),
                "callback_failed": found.callback_failed is not None,
            }
        )
    else:
        show.out.print(_state(session, found))
        if proposed is not None:
            by = f"by {proposed.proposal.operator}"
            payloads.print_elements(by, proposed.output, tensors, labels)
            if labels:
                show.out.print(f"classes, in their order: {show.names(labels)}")
    if proposed is None:
        return 2
    return 0 if is_final else 3


def _is_over(session: Session, found: RequestHistory) -> bool:
    if found.status is Status.REQUESTED:
        return session.chain.block("latest").time >= found.created.request.deadline
    return found.status in (Status.SETTLED, Status.EXPIRED) or _is_final(session, found)


def _is_final(session: Session, found: RequestHistory) -> bool:
    """Says whether a result is final: it is settled, or its window is over, since finality needs no
    transaction."""
    if found.status is Status.SETTLED:
        return True
    proposed = found.proposed
    if found.status is not Status.PROPOSED or proposed is None:
        return False
    over = session.chain.block("latest").time >= proposed.proposal.settle_at
    # Only the contract knows whether a slash voided the proposal meanwhile.
    return over and session.queue.is_final(
        found.created.request, proposed.proposal, proposed.output
    )


def _state(session: Session, found: RequestHistory) -> Text:
    return show.styled(_sentence(session, found))


def _sentence(session: Session, found: RequestHistory) -> str:
    """Says how the request stands, with markup."""
    now = session.chain.block("latest").time
    asked = found.created.request
    match found.status:
        case Status.REQUESTED if now >= asked.deadline:
            return "[red]Nobody answered in time: exactum expire refunds the fee.[/]"
        case Status.REQUESTED:
            return f"Nobody has answered yet; {asked.deadline - now} s are left."
        case Status.PROPOSED if _is_final(session, found):
            return "[green]FINAL[/], and not settled yet: the callback is still to come."
        case Status.PROPOSED if found.proposed and found.proposed.proposal.is_suspended:
            return "[yellow]DISPUTED[/]: its operator has to show its work; do not pay on it."
        case Status.PROPOSED:
            settle_at = found.proposed.proposal.settle_at if found.proposed else now
            left = max(0, settle_at - now)
            return f"[yellow]NOT FINAL[/]: it can be challenged for {left} s; do not pay on it."
        case Status.SETTLED if found.callback_failed is not None:
            return "[green]FINAL[/], settled; the callback failed: exactum retry-callback."
        case Status.SETTLED:
            return "[green]FINAL[/], settled."
        case _:
            return "Expired: nobody answered in time, the fee was credited back."
