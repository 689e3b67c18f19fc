"""`exactum worker`: the operator's program."""

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import click
import structlog

from oracle.answers import Answers
from oracle.chain.sender import Sender
from oracle.chain.signer import Signer
from oracle.chain.watcher import Watcher
from oracle.cli import show
from oracle.cli.files import model_files
from oracle.cli.options import ACCOUNT, DURATION, MODEL, MONEY, key_options
from oracle.cli.session import Session, on_chain, open_key
from oracle.executor import Executor
from oracle.service import Service, Setup
from oracle.store import Store
from oracle.types import Address, ModelId, Wei
from oracle.worker import Policy


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
    "--max-window",
    type=DURATION,
    default="7d",
    show_default=True,
    help="Decline requests that would bind a bond for longer.",
)
@click.option(
    "--margin",
    type=int,
    default=20,
    show_default=True,
    help="The least profit, in percent of the gas that an answer costs.",
)
@click.option(
    "--state",
    help="Where duties are kept, as an SQLAlchemy URL."
    " [default: sqlite in $EXACTUM_HOME, a file for each chain and operator]",
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
    default="60s",
    show_default=True,
    help="For one inference; the child process is killed then.",
)
@click.option(
    "--memory-limit", type=int, default=4096, show_default=True, help="MiB for one inference."
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Inferences at once.",
)
@click.option(
    "--allow-local-files",
    is_flag=True,
    help="Fetch models from file:// and local addresses too. For devnets: a publisher"
    " chooses these URIs.",
)
@click.option(
    "--dry-run",
    type=ACCOUNT,
    metavar="ADDRESS",
    help="Decide and infer as operator ADDRESS would, with no key, and send nothing.",
)
@click.option("--once", is_flag=True, help="Work off what can be done now, and exit.")
@click.option("--json-logs", is_flag=True, help="One JSON object a line.")
@on_chain
@key_options
def worker(
    models: Sequence[ModelId],
    vanilla: bool,
    max_bond: Wei | None,
    max_window: int,
    margin: int,
    state: str | None,
    confirmations: int,
    poll: float,
    time_limit: int,
    memory_limit: int,
    processes: int,
    allow_local_files: bool,
    dry_run: Address | None,
    once: bool,
    json_logs: bool,
    session: Session,
    key: str | None,
    password_file: Path | None,
) -> None:
    """Answers requests: watches the queue, runs models, proposes, settles, withdraws.

    Every result runs twice in a child process, exactly and on onnxruntime; where the two differ by
    more than float noise nothing is posted. Kill it at any moment: it goes on where it stopped and
    sends nothing twice. One worker for each key.

    \b
    Examples:
      exactum worker --key operator
      exactum worker --key operator --model 0x1f… --max-bond 0.1ether --json-logs
      exactum worker --dry-run 0xf39F…2266
    """
    configure_logs(json_logs)
    signer = None if dry_run else open_key(key, password_file)
    operator = dry_run or (signer.address if signer else dry_run)
    assert operator is not None
    policy = Policy(
        operator=operator,
        models=frozenset(models) or None,
        answers_vanilla=vanilla,
        max_bond=max_bond,
        max_window=max_window,
        margin=margin,
    )
    url = state or f"sqlite:///{_state_file(session, operator)}"
    store = Store(url, session.chain.id, session.deployment.queue, operator)
    executor = Executor(
        processes=processes, time_limit=time_limit, memory_limit=memory_limit * 2**20
    )
    answers = Answers(model_files(session.settings, allow_local_files), executor, processes)
    service = build(session, store, answers, policy, signer, confirmations, processes)

    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    structlog.get_logger().info(
        "worker is up", operator=operator, chain=session.chain.id, queue=session.deployment.queue
    )
    try:
        if once:
            _until_idle(service, stop, poll)
        else:
            service.run(stop, poll)
    finally:
        answers.close()
        store.close_engine()


def build(
    session: Session,
    store: Store,
    answers: Answers,
    policy: Policy,
    signer: Signer | None,
    confirmations: int = 0,
    parallel: int = 2,
) -> Service:
    return Service(
        Setup(
            chain=session.chain,
            queue=session.queue,
            watcher=Watcher(session.chain, session.deployment, confirmations),
            store=store,
            inference=answers,
            policy=policy,
            sender=None if signer is None else Sender(session.chain, signer, store),
            disputes=session.disputes,
            parallel=parallel,
        )
    )


def _until_idle(service: Service, stop: Event, poll: float) -> None:
    service.tick()
    while not service.is_idle and not stop.is_set():
        stop.wait(min(poll, 0.1))
        service.tick()


def _state_file(session: Session, operator: Address) -> Path:
    folder = session.settings.home / "state"
    folder.mkdir(parents=True, exist_ok=True)
    queue = session.deployment.queue
    return folder / f"{session.chain.id}-{queue[2:10].lower()}-{operator[2:10].lower()}.db"


def configure_logs(as_json: bool) -> None:
    """A sentence and fields: for a person on a terminal, as JSON for a machine."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: structlog.typing.Processor
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        final = structlog.processors.JSONRenderer(default=show.plain)
    else:
        final = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
