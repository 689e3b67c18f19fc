"""`exactum challenger`: the watcher's program."""

from collections.abc import Sequence
from pathlib import Path

import click
import structlog

from oracle.chain.connection import connect
from oracle.chain.contracts import Disputes, Referee, Subject
from oracle.chain.history import History
from oracle.chain.keys import Signer
from oracle.chain.transactions import Sender
from oracle.chain.watcher import Watcher
from oracle.challenger.patrol import Patrol, SecondView, Setup
from oracle.challenger.policy import Policy
from oracle.cli.daemon import Daemon, daemon_options
from oracle.cli.options import MODEL, MONEY, key_options
from oracle.cli.session import Session, on_chain, open_key
from oracle.errors import ChainError, WrongChain
from oracle.inference.answers import Answers
from oracle.state.store import Store
from oracle.types import Address, ModelId, RequestId, Wei

NOBODY = Address("0x" + "0" * 40)
PURSUED = 3  # exit code: something is wrong and its operator not slashed yet


@click.command()
@click.option(
    "--model",
    "models",
    type=MODEL,
    multiple=True,
    help="Watch this model only. May be repeated. [default: every EXACT model]",
)
@click.option(
    "--check-rpc",
    metavar="URL",
    help="A second node, of somebody else, that must tell the same of a request and its result"
    " before anything is spent on a dispute.",
)
@click.option(
    "--max-spend",
    type=MONEY,
    help="Hold back once gas and what was prepaid would exceed this, over all runs with this state."
    " What comes back is not counted.",
)
@click.option(
    "--even-at-a-loss",
    is_flag=True,
    help="Pursue also where 30 % of the bond is less than the gas may cost.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="With no key: check, work out the next step, say what it would do, and send nothing.",
)
@daemon_options(
    run="run of a model with its whole trace",
    time_limit="10m",
    memory_limit=8192,
    once="For cron: one pass over what is open. Exits with 3 while a wrong result is not settled.",
)
@on_chain
@key_options
def challenger(
    models: Sequence[ModelId],
    check_rpc: str | None,
    max_spend: Wei | None,
    even_at_a_loss: bool,
    dry_run: bool,
    daemon: Daemon,
    session: Session,
    key: str | None,
    password_file: Path | None,
) -> None:
    """Runs every result of others again, and has the operators of wrong ones slashed.

    What differs from ours by one bit is pursued: the operator is made to show its trace, part by
    part, until one wrong element can be proven; or it falls silent, and is slashed for that. 30 %
    of the bond is yours, and all that you prepaid comes back. Where the result was right after all,
    what you prepaid is the operator's: so nothing is spent before two runs here agree, the second
    node agrees, and the referee itself says that it would convict.

    Kill it at any moment: it goes on where it stopped. It needs no stake, and several may work on
    the same dispute. Use another key than a worker's.

    \b
    Examples:
      exactum challenger --dry-run
      exactum challenger --key watcher --check-rpc https://another-node.example
      exactum challenger --key watcher --max-spend 0.5ether --once
    """
    log = structlog.get_logger()
    signer = None if dry_run else open_key(key, password_file)
    me = signer.address if signer else NOBODY
    policy = Policy(me, frozenset(models) or None, max_spend, even_at_a_loss)
    second_view = None
    if check_rpc is not None:
        second_view = SecondNode(check_rpc, session)
    elif not dry_run:
        log.warning("one node alone is believed: --check-rpc would ask a second one")
    with daemon.open(session, me, "-challenger") as opened:
        patrol = build(
            session,
            opened.store,
            opened.answers,
            policy,
            signer,
            second_view,
            daemon.confirmations,
            daemon.processes,
        )
        disputes = session.deployment.disputes
        log.info("challenger is up", account=me, chain=session.chain.id, disputes=disputes)
        daemon.run(patrol)
        code = PURSUED if daemon.once and patrol.is_pursuing else 0
    click.get_current_context().exit(code)


def build(
    session: Session,
    store: Store,
    answers: Answers,
    policy: Policy,
    signer: Signer | None,
    second_view: SecondView | None = None,
    confirmations: int = 0,
    parallel: int = 2,
) -> Patrol:
    return Patrol(
        Setup(
            chain=session.chain,
            queue=session.queue,
            disputes=Disputes(session.chain, session.deployment),
            referee=Referee(session.chain, session.deployment),
            watcher=Watcher(session.chain, session.deployment, confirmations),
            store=store,
            inference=answers,
            policy=policy,
            sender=None if signer is None else Sender(session.chain, signer, store),
            second_view=second_view,
            parallel=parallel,
        )
    )


class SecondNode:
    """Another node, which must tell the same before anybody is accused."""

    def __init__(self, url: str, session: Session):
        chain = connect(url)
        if chain.id != session.chain.id:
            raise WrongChain(f"{chain.name} is chain {chain.id}, not {session.chain.id}.")
        self._history = History(chain, session.deployment)

    def objection(self, request_id: RequestId, payload: bytes, subject: Subject) -> str | None:
        """Why what we read is not what the chain says; None if it is."""
        try:
            found = self._history.request(request_id)
        except ChainError as error:
            return str(error)
        if (found.created.request, found.created.payload) != (subject.request, payload):
            return "the second node knows another request"
        proposed = found.proposed
        if proposed is None:
            return "the second node knows no result"
        # The window may have been moved since.
        ours, theirs = subject.proposal, proposed.proposal
        same = (ours.operator, ours.epoch, ours.proposed_at) == (
            theirs.operator,
            theirs.epoch,
            theirs.proposed_at,
        )
        if not same or proposed.output != subject.output:
            return "the second node knows another result"
        return None
