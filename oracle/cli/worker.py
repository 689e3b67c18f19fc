"""`exactum worker`: the operator's program."""

import time
from collections.abc import Sequence
from pathlib import Path

import click
import structlog

from oracle.chain.keys import Signer
from oracle.chain.transactions import Sender
from oracle.chain.watcher import Watcher
from oracle.cli.daemon import Daemon, daemon_options
from oracle.cli.options import ACCOUNT, DURATION, MODEL, MONEY, key_options
from oracle.cli.session import Session, on_chain, open_key
from oracle.exact.proofs.cost import Calibration, calibrate
from oracle.inference.answers import Inference
from oracle.state.store import Store
from oracle.types import Address, ModelId, Wei
from oracle.worker.policy import Policy
from oracle.worker.service import Service, Setup


@click.command()
@click.option(
    "--model",
    "models",
    type=MODEL,
    multiple=True,
    help="Answer for this model only. May be repeated. [default: every EXACT model]",
)
@click.option("--vanilla", is_flag=True, help="Answer for VANILLA models too.")
@click.option("--max-bond", type=MONEY, help="Decline requests that ask for a higher bond.")
@click.option(
    "--max-exposure",
    type=MONEY,
    help="Decline what would put more than this at risk: the sum of the bonds of all results that"
    " can be disputed now. [default: the whole stake]",
)
@click.option(
    "--max-window",
    type=DURATION,
    default="7d",
    show_default=True,
    help="Decline requests that would bind a bond for longer.",
)
@click.option(
    "--margin",
    type=click.IntRange(-100, 10_000),
    default=20,
    show_default=True,
    help="The least profit, in percent of the gas that an answer costs.",
)
@click.option(
    "--defence-rate",
    type=MONEY,
    default="10gwei",
    show_default=True,
    help="What a second of one process is worth to you, in the chain's coin. Besides gas and margin"
    " a fee must pay for all the seconds that you may have to spend on showing the trace of the"
    " result while its window is open.",
)
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
    once="Work off what can be done now, and exit.",
)
@on_chain
@key_options
def worker(
    models: Sequence[ModelId],
    vanilla: bool,
    max_bond: Wei | None,
    max_exposure: Wei | None,
    max_window: int,
    margin: int,
    defence_rate: Wei,
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
      exactum worker --dry-run 0xf39F…2266
    """
    signer = None if dry_run else open_key(key, password_file)
    operator = dry_run or (signer.address if signer else dry_run)
    assert operator is not None
    policy = Policy(
        operator=operator,
        models=frozenset(models) or None,
        answers_vanilla=vanilla,
        max_bond=max_bond,
        max_exposure=max_exposure,
        max_window=max_window,
        margin=margin,
        defence_rate=defence_rate,
    )
    log = structlog.get_logger()
    with daemon.open(session, operator, is_advised=True) as opened:
        setup = set_up(
            session,
            store=opened.store,
            inference=opened.answers,
            policy=policy,
            signer=signer,
            confirmations=daemon.confirmations,
            parallel=daemon.processes,
            time_limit=daemon.time_limit,
            max_fee=daemon.max_fee_per_gas,
        )
        queue = session.deployment.queue
        log.info("worker is up", operator=operator, chain=session.chain.id, queue=queue)
        daemon.run(Service(setup))


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
    store: Store,
    inference: Inference,
    policy: Policy,
    signer: Signer | None,
    confirmations: int = 0,
    parallel: int = 2,
    time_limit: float = 60.0,
    max_fee: Wei | None = None,
) -> Setup:
    disputes = session.disputes
    return Setup(
        chain=session.chain,
        queue=session.queue,
        watcher=Watcher(session.chain, session.deployment, confirmations),
        store=store,
        inference=inference,
        policy=policy,
        sender=Sender(session.chain, signer, store, max_fee=max_fee) if signer else None,
        calibration=Calibration({}) if disputes is None else _measured(),
        disputes=disputes,
        reveal_period=None if disputes is None else disputes.periods().reveal,
        parallel=parallel,
        time_limit=time_limit,
    )
