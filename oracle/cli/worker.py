"""`exactum worker`: the operator's program."""

import time
from pathlib import Path

import click
import structlog

from oracle.chain.keys import Signer
from oracle.chain.transactions import Sender
from oracle.chain.view import View
from oracle.cli.daemon import Daemon, daemon_options, warn_without_coins
from oracle.cli.options import ACCOUNT, key_options
from oracle.cli.policy import PolicyOptions, operator_option, policy_options
from oracle.cli.session import Session, on_chain, open_key
from oracle.exact.proofs.cost import Calibration, calibrate
from oracle.inference.answers import Inference
from oracle.state.store import Store
from oracle.state.watch import Watch
from oracle.types import Address, Wei
from oracle.visible import hex_id
from oracle.worker.mandate import Mandate
from oracle.worker.policy import Policy
from oracle.worker.service import Service, Setup

LEFT = 3  # exit code: what was due is not all done


@click.command()
@policy_options
@operator_option
@click.option(
    "--dry-run",
    type=ACCOUNT,
    metavar="ADDRESS",
    help="Decide and infer as operator ADDRESS would, with no key, and send nothing.",
)
@daemon_options(
    run="inference",
    time_limit="60s",
    memory_limit=4096,
    once="For cron: work off what can be done now, and exit; with 3 where something was due and is"
    " still not done, was missed, or is not answered because nothing is staked for it. What you do"
    " not want to answer is none of it.",
)
@on_chain
@key_options
def worker(
    chosen: PolicyOptions,
    operator: Address | None,
    dry_run: Address | None,
    daemon: Daemon,
    session: Session,
    key: str | None,
    password_file: Path | None,
) -> None:
    """Answers requests: watches the queue, runs models, proposes, settles, withdraws.

    Every result runs twice in child processes, exactly and on onnxruntime; where the two differ by
    more than float noise nothing is posted. Where onnxruntime has no opinion, a sample of each
    layer is computed again by the plain rules instead. Kill it at any moment: it goes on where it
    stopped and sends nothing twice. One worker for each key.

    \b
    Examples:
      exactum worker --key operator
      exactum worker --key operator --model 0x1f… --max-bond 0.1ether --json-logs
      exactum worker --key hot --operator 0xf39F…2266
      exactum worker --dry-run 0xf39F…2266
    """
    if dry_run is not None and operator is not None:
        raise click.UsageError("--dry-run names the operator already: leave out --operator.")
    signer = None if dry_run else open_key(key, password_file)
    operator = dry_run or operator or (signer.address if signer else None)
    assert operator is not None
    chosen.require(Mandate(session.queue, operator, signer))
    policy = chosen.policy(operator)
    log = structlog.get_logger()
    sender = None if signer is None else signer.address
    with (
        daemon.watched("worker") as watch,
        daemon.open(session, operator, sender=sender, is_advised=True) as opened,
    ):
        setup = set_up(
            session,
            store=opened.store,
            inference=opened.answers,
            policy=policy,
            signer=signer,
            view=daemon.view(session),
            parallel=daemon.processes,
            time_limit=daemon.time_limit,
            max_fee=daemon.max_fee_per_gas,
            watch=watch,
        )
        queue, chain = session.deployment.queue, session.chain.id
        log.info("worker is up", operator=operator, account=sender, chain=chain, queue=queue)
        service = Service(setup)
        daemon.run(service, session.chain)
        code = LEFT if daemon.once and _is_behind(service) else 0
    click.get_current_context().exit(code)


def _is_behind(service: Service) -> bool:
    """Says what is left although it was due, and whether there is any."""
    left = service.undone()
    for row in left:
        duty, why = row.duty, row.note or "the lines above say why"
        log = structlog.get_logger()
        log.error("left undone", kind=duty.kind, subject=hex_id(duty.subject), why=why)
    return bool(left)


def _measured() -> Calibration:
    """Measures what the parts of a trace take here. It says so, because kernels that this machine
    has not compiled yet are compiled on the way, and nothing else happens until it is done."""
    log = structlog.get_logger()
    log.info("measuring what traces take on this machine")
    began = time.monotonic()
    calibration = calibrate()
    log.info("measured", seconds=round(time.monotonic() - began, 1))
    return calibration


def set_up(
    session: Session,
    *,
    view: View,
    store: Store,
    inference: Inference,
    policy: Policy,
    signer: Signer | None,
    parallel: int = 2,
    time_limit: float = 60.0,
    max_fee: Wei | None = None,
    watch: Watch | None = None,
) -> Setup:
    if signer is not None:
        warn_without_coins(session.chain, signer.address)
    disputes = session.disputes
    return Setup(
        chain=session.chain,
        queue=session.queue,
        view=view,
        store=store,
        inference=inference,
        policy=policy,
        sender=Sender(session.chain, signer, store, max_fee=max_fee) if signer else None,
        calibration=Calibration({}) if disputes is None else _measured(),
        disputes=disputes,
        reveal_period=None if disputes is None else disputes.periods().reveal,
        parallel=parallel,
        time_limit=time_limit,
        watch=watch,
    )
