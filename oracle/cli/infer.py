"""`exactum infer`: a signed answer from an operator's server, and what posts it."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from oracle.chain.contracts import Queue
from oracle.cli import payload as payloads
from oracle.cli import show
from oracle.cli.files import local_dictionary, model_files
from oracle.cli.options import (
    ACCOUNT,
    DURATION,
    MODEL,
    MONEY,
    PERIOD,
    json_option,
    key_options,
    local_files_option,
)
from oracle.cli.request import categories_of
from oracle.cli.session import Session, address_of, on_chain, open_key
from oracle.errors import ConfigError
from oracle.serve.client import AskedOptions, Client, Received, checked
from oracle.types import Address, Model, ModelId, Wei
from oracle.values import classes, elements


@click.command()
@click.argument("model_id", type=MODEL, metavar="MODEL")
@click.argument("text", metavar="INPUT")
@click.option("--via", "url", required=True, metavar="URL", help="An operator's server.")
@click.option(
    "--consumer",
    type=ACCOUNT,
    help="Who alone can post the answer: a contract of yours, or an account. [default: --key's]",
)
@click.option("--fee", type=MONEY, help="What you pay. [default: what the operator asks]")
@click.option("--bond", type=MONEY, help="What the operator risks. [default: the least]")
@click.option("--window", type=DURATION, help="For challenges. [default: the shortest]")
@click.option(
    "--timeout",
    type=PERIOD,
    default="60s",
    show_default=True,
    help="How long the answer can be posted.",
)
@click.option(
    "--callback-gas",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    help="For the consumer's onInference, once the result is final. [default: no callback]",
)
@click.option(
    "--refund-to", type=ACCOUNT, help="Who is paid if it is wrong. [default: the consumer]"
)
@click.option("--post", is_flag=True, help="Post it, signed by --key.")
@local_files_option
@on_chain
@key_options
@json_option
def infer(
    model_id: ModelId,
    text: str,
    url: str,
    consumer: Address | None,
    fee: Wei | None,
    bond: Wei | None,
    window: int | None,
    timeout: int,
    callback_gas: int,
    refund_to: Address | None,
    post: bool,
    allow_local_files: bool,
    session: Session,
    key: str | None,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """Has MODEL run on INPUT by an operator that signs the answer, at once.

    INPUT is as that of `exactum request`: JSON, @FILE, or the payload as 0x…. The answer is checked
    against the chain, and printed with the calldata by which its consumer posts it. Posted, the
    operator's bond stands behind it like behind any result: it is attested, not final, and anybody
    can have it convicted until its window is over. Until it is posted it costs you nothing, and
    binds nobody but the operator.

    \b
    Examples:
      exactum infer 0x1f… '[[5.1, 3.5, 1.4, 0.2]]' --via http://127.0.0.1:8080 --consumer 0xC0…
      exactum infer 0x1f… @row.json --via https://… --key me --fee 0.001ether --post
    """
    if post and fee is None:
        raise ConfigError(
            "--post pays the fee, so say by --fee what it is: the server may ask any."
        )
    signer = open_key(key, password_file) if post else None
    consumer = signer.address if signer else consumer or address_of(key)
    found = session.history.model(model_id)
    known = partial(categories_of, found, session.settings, allow_local_files)
    data = payloads.parse(text, found.model.signature, known)
    limits = session.queue.limits()
    asked = AskedOptions(
        bond=limits.min_bond if bond is None else bond,
        window=limits.min_window if window is None else window,
        deadline=int(max(time.time(), session.chain.block("latest").time)) + timeout,
        callback_gas=callback_gas,
        refund_to=refund_to,
    )
    began = time.monotonic()
    with show.err.status("Asking for the answer…"):
        reply = Client(url).infer(model_id, data, consumer, fee, asked)
    seconds = time.monotonic() - began
    queue = session.queue
    received = checked(
        reply,
        queue=queue,
        model=model_id,
        terms=session.registry.terms_of(model_id),
        payload=data,
        consumer=consumer,
        fee=fee,
        asked=asked,
    )
    call = queue.infer(
        model_id,
        data,
        received.request.fee,
        received.options,
        received.output,
        received.signature,
    )
    _show(session, received, found.model, call.data, seconds, as_json)
    if signer is not None:
        receipt = session.transact(signer, call)
        if not as_json:
            show.out.print(f"Posted, {receipt.gas_used:,} gas: attested, not final.")


def _show(
    session: Session,
    received: Received,
    model: Model,
    calldata: bytes,
    seconds: float,
    as_json: bool,
) -> None:
    request, tensors = received.request, model.signature.outputs
    local = local_dictionary(model, model_files(session.settings))
    labels = local.labels if local else ()
    obstacle = obstacle_to(session.queue, received)
    if as_json:
        content: dict[str, Any] = {
            "request_id": received.request_id,
            "request": request,
            "options": received.options,
            "input": received.payload,
            "output": received.output,
            "values": elements(received.output, tensors),
            "classes": classes(received.output, tensors, labels),
            "operator": received.options.operator,
            "signer": received.signer,
            "epoch": received.epoch,
            "signature": received.signature,
            "is_insured": obstacle is None,
            "seconds": seconds,
            "to": session.deployment.queue,
            "value": str(request.fee),
            "calldata": calldata,
        }
        show.print_json(content)
        return
    by = f"Signed by {received.signer}, in {seconds:.2f} s"
    payloads.print_elements(by, received.output, tensors, labels)
    rows: dict[str, object] = {
        "request": show.hex_(received.request_id),
        "operator": received.options.operator,
        "consumer": request.consumer,
        "fee": show.ether(request.fee),
        "bond": show.ether(request.bond),
        "post before": show.when(request.deadline),
        "to": session.deployment.queue,
        "value": f"{request.fee} wei",
    }
    show.print_fields("To post it", rows)
    show.out.print("calldata", style="bold")
    show.out.print(show.hex_(calldata), soft_wrap=True)  # in one piece, to be copied
    if obstacle is not None:
        show.err.print(
            f"{obstacle}: it cannot be posted now, and nothing insures it.", style="yellow"
        )


def obstacle_to(queue: Queue, received: Received) -> str | None:
    """Says why the operator's bond cannot be locked now. Gives None if it can."""
    operator, bond = received.options.operator, received.request.bond
    account = queue.account_of(operator)
    if bond > account.free:
        free = show.ether(account.free)
        return f"Of the operator's stake {free} are free, less than the bond"
    hot = None if received.signer == operator else queue.signer_of(operator)
    if hot is not None and account.locked + bond > hot.max_locked:
        return (
            f"With the bond more would be locked than the {show.ether(hot.max_locked)} that the"
            " operator's signer may lock"
        )
    return None
