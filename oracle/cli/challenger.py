"""`exactum challenger`: the watcher's program."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import structlog

from oracle.chain.connection import connect
from oracle.chain.contracts import Disputes, Referee, Subject
from oracle.chain.deployment import Deployment
from oracle.chain.history import History
from oracle.chain.keys import Signer
from oracle.chain.node import Chain
from oracle.chain.nodes import Nodes
from oracle.chain.transactions import Sender
from oracle.chain.view import View
from oracle.challenger.checking import SecondView
from oracle.challenger.patrol import Patrol, Setup
from oracle.challenger.policy import Policy
from oracle.cli.daemon import Daemon, daemon_options, warn_without_coins
from oracle.cli.options import ACCOUNT, MODEL, MONEY, key_options
from oracle.cli.session import Session, on_chain, open_key
from oracle.errors import ChainError, WrongChain
from oracle.inference.answers import Inference
from oracle.state.database import CHALLENGER
from oracle.state.store import Store
from oracle.state.watch import Watch
from oracle.types import Address, ModelId, RequestId, Wei

NOBODY = Address("0x" + "0" * 40)
AGREEING = 2  # nodes that must tell the same before anything is spent
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
    help="A node, of somebody else, that is only asked whether it tells the same of a request and"
    " its result, before anything is spent on a dispute. [default: two of the nodes of --rpc must"
    " agree, where there are several]",
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
    "--refund-to",
    type=ACCOUNT,
    multiple=True,
    metavar="ADDRESS",
    help="Yours, as the requests of your consumers name it: their results are checked first, and"
    " the 30 % of a bond that a conviction pays there counts as certain. May be repeated.",
)
@click.option(
    "--submit-rpc",
    metavar="URL",
    help="Send transactions to this endpoint alone, such as a private relay: who sees a proof"
    " before it is mined could take its reward. Reads stay at --rpc.",
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
    refund_to: Sequence[Address],
    submit_rpc: str | None,
    dry_run: bool,
    daemon: Daemon,
    session: Session,
    key: str | None,
    password_file: Path | None,
) -> None:
    """Runs every result of others again, and has the operators of wrong ones slashed.

    What differs from ours by one bit is pursued: the operator is made to show its trace, part by
    part, until one wrong element can be proven; or it falls silent, and is slashed for that. 30 %
    of the bond goes to whoever convicts, and all that you prepaid comes back. Where the result was
    right after all, what you prepaid is the operator's: so nothing is spent before runs in two
    processes agree, the second node agrees, and the referee itself says that it would convict.

    That 30 % is no income to count on: a liar that sees itself found out may convict itself first,
    and keep it. The requester's 30 % it cannot keep: with --refund-to that is yours, and certain.

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
    policy = Policy(
        challenger=me,
        models=frozenset(models) or None,
        max_spend=max_spend,
        even_at_a_loss=even_at_a_loss,
        refund_to=frozenset(refund_to),
    )
    second_view = second_view_of(session, check_rpc)
    if second_view is None and not dry_run:
        log.warning("one node alone is believed: --check-rpc or another --rpc would be asked too")
    relay = None if submit_rpc is None else same_chain(submit_rpc, session)
    with (
        daemon.watched("challenger") as watch,
        daemon.open(session, me, CHALLENGER) as opened,
    ):
        setup = set_up(
            session,
            store=opened.store,
            inference=opened.answers,
            policy=policy,
            signer=signer,
            second_view=second_view,
            view=daemon.view(session),
            parallel=daemon.processes,
            time_limit=daemon.time_limit,
            max_fee=daemon.max_fee_per_gas,
            relay=relay,
            watch=watch,
        )
        patrol = Patrol(setup)
        disputes = session.deployment.disputes
        log.info("challenger is up", account=me, chain=session.chain.id, disputes=disputes)
        others = (relay, second_view.chain if isinstance(second_view, SecondNode) else None)
        daemon.run(patrol, session.chain, *filter(None, others))
        log.info("summary", **asdict(patrol.summary()))
        code = PURSUED if daemon.once and patrol.is_pursuing else 0
    click.get_current_context().exit(code)


def set_up(
    session: Session,
    *,
    view: View,
    store: Store,
    inference: Inference,
    policy: Policy,
    signer: Signer | None,
    second_view: SecondView | None = None,
    parallel: int = 2,
    time_limit: float = 600.0,
    max_fee: Wei | None = None,
    relay: Chain | None = None,
    watch: Watch | None = None,
) -> Setup:
    sender = None
    if signer is not None:
        warn_without_coins(session.chain, signer.address)
        sender = Sender(session.chain, signer, store, max_fee=max_fee, relay=relay)
    return Setup(
        chain=session.chain,
        queue=session.queue,
        disputes=Disputes(session.chain, session.deployment),
        referee=Referee(session.chain, session.deployment),
        view=view,
        store=store,
        inference=inference,
        policy=policy,
        sender=sender,
        second_view=second_view,
        parallel=parallel,
        time_limit=time_limit,
        watch=watch,
    )


def same_chain(url: str, session: Session) -> Chain:
    """Connects to another endpoint. Raises WrongChain where it is one of another chain."""
    chain = connect(url)
    if chain.id != session.chain.id:
        raise WrongChain(f"{chain.name} is chain {chain.id}, not {session.chain.id}.")
    return chain


def second_view_of(session: Session, check_rpc: str | None) -> SecondView | None:
    """Gives whoever must agree before anybody is accused; None where there is one node alone."""
    if check_rpc is not None:
        return SecondNode(check_rpc, session)
    return TwoNodes(session.chain, session.deployment) if isinstance(session.chain, Nodes) else None


class SecondNode:
    """Another node, which must tell the same before anybody is accused."""

    def __init__(self, url: str, session: Session):
        self.chain, self._deployment = same_chain(url, session), session.deployment

    def objection(self, request_id: RequestId, payload: bytes, subject: Subject) -> str | None:
        return _objection(self.chain, self._deployment, request_id, payload, subject)


class TwoNodes:
    """Several nodes, of which two must tell the same: what was read may be any one's word."""

    def __init__(self, nodes: Nodes, deployment: Deployment):
        self._nodes, self._deployment = nodes, deployment

    def objection(self, request_id: RequestId, payload: bytes, subject: Subject) -> str | None:
        said: list[str] = []
        agreeing = 0
        for chain in self._nodes.each:
            why = _objection(chain, self._deployment, request_id, payload, subject)
            said.append(why or f"{chain.name} bears it out")
            agreeing += why is None
            if agreeing == AGREEING:
                return None
        return "; ".join(said)


def _objection(
    chain: Chain, deployment: Deployment, request_id: RequestId, payload: bytes, subject: Subject
) -> str | None:
    """Says why what we read is not what that node says. Gives None if it is."""
    try:
        found = History(chain, deployment).request(request_id)
    except ChainError as error:
        return str(error)
    if (found.created.request, found.created.payload) != (subject.request, payload):
        return f"{chain.name} knows another request"
    proposed = found.proposed
    if proposed is None:
        return f"{chain.name} knows no result"
    # The window may have been moved since.
    ours, theirs = subject.proposal, proposed.proposal
    same = (ours.operator, ours.epoch, ours.proposed_at) == (
        theirs.operator,
        theirs.epoch,
        theirs.proposed_at,
    )
    if not same or proposed.output != subject.output:
        return f"{chain.name} knows another result"
    return None
