"""`exactum challenger`: the watcher's program."""

import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import click
import structlog

from oracle.answers import Answers
from oracle.chain.contracts import Disputes, Referee, Subject
from oracle.chain.history import History
from oracle.chain.provider import connect
from oracle.chain.sender import Sender
from oracle.chain.signer import Signer
from oracle.chain.watcher import Watcher
from oracle.challenger import Policy
from oracle.cli.files import model_files
from oracle.cli.options import DURATION, MODEL, MONEY, key_options
from oracle.cli.session import Session, on_chain, open_key
from oracle.cli.worker import configure_logs
from oracle.errors import ChainError, WrongChain
from oracle.executor import Executor
from oracle.patrol import Patrol, Setup, Witness
from oracle.store import Store
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
    "--state",
    help="Where duties are kept, as an SQLAlchemy URL."
    " [default: sqlite in $EXACTUM_HOME, a file for each chain and account]",
)
@click.option(
    "--confirmations",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Blocks to wait before an event is acted on. Choose more than the chain reverts.",
)
@click.option(
    "--poll",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    help="Seconds between rounds.",
)
@click.option(
    "--time-limit",
    type=DURATION,
    default="10m",
    show_default=True,
    help="For one run of a model with its whole trace; the child process is killed then.",
)
@click.option("--memory-limit", type=int, default=8192, show_default=True, help="MiB for one run.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Runs at once.",
)
@click.option(
    "--allow-local-files",
    is_flag=True,
    help="Fetch models from file:// and local addresses too. For devnets: a publisher"
    " chooses these URIs.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="With no key: check, work out the next step, say what it would do, and send nothing.",
)
@click.option(
    "--once",
    is_flag=True,
    help="For cron: one pass over what is open. Exits with 3 while a wrong result is not settled.",
)
@click.option("--json-logs", is_flag=True, help="One JSON object a line.")
@on_chain
@key_options
def challenger(
    models: Sequence[ModelId],
    check_rpc: str | None,
    max_spend: Wei | None,
    even_at_a_loss: bool,
    state: str | None,
    confirmations: int,
    poll: float,
    time_limit: int,
    memory_limit: int,
    processes: int,
    allow_local_files: bool,
    dry_run: bool,
    once: bool,
    json_logs: bool,
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
    configure_logs(json_logs)
    log = structlog.get_logger()
    signer = None if dry_run else open_key(key, password_file)
    me = signer.address if signer else NOBODY
    policy = Policy(me, frozenset(models) or None, max_spend, even_at_a_loss)
    store = Store(
        state or f"sqlite:///{_state_file(session, me)}",
        session.chain.id,
        session.deployment.queue,
        me,
    )
    executor = Executor(
        processes=processes, time_limit=time_limit, memory_limit=memory_limit * 2**20
    )
    answers = Answers(model_files(session.settings, allow_local_files), executor, processes)
    witness = None
    if check_rpc is not None:
        witness = SecondNode(check_rpc, session)
    elif not dry_run:
        log.warning("one node alone is believed: --check-rpc would ask a second one")
    patrol = build(session, store, answers, policy, signer, witness, confirmations, processes)

    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    disputes = session.deployment.disputes
    log.info("challenger is up", account=me, chain=session.chain.id, disputes=disputes)
    try:
        if once:
            _until_idle(patrol, stop, poll)
        else:
            patrol.run(stop, poll)
        code = PURSUED if once and patrol.is_pursuing else 0
    finally:
        answers.close()
        store.close_engine()
    click.get_current_context().exit(code)


def build(
    session: Session,
    store: Store,
    answers: Answers,
    policy: Policy,
    signer: Signer | None,
    witness: Witness | None = None,
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
            witness=witness,
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


def _until_idle(patrol: Patrol, stop: Event, poll: float) -> None:
    patrol.tick()
    while not patrol.is_idle and not stop.is_set():
        stop.wait(min(poll, 0.1))
        patrol.tick()


def _state_file(session: Session, account: Address) -> Path:
    folder = session.settings.home / "state"
    folder.mkdir(parents=True, exist_ok=True)
    queue = session.deployment.queue[2:10].lower()
    return folder / f"{session.chain.id}-{queue}-{account[2:10].lower()}-challenger.db"
