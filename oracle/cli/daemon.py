"""What the programs that run for long share: their options, logs, state, child processes, and how
they are stopped."""

import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial, wraps
from pathlib import Path
from threading import Event as Flag
from threading import Thread, Timer
from typing import Any, Protocol

import click
import structlog

from oracle.chain.node import Chain
from oracle.chain.view import View
from oracle.cli import show
from oracle.cli.files import model_files
from oracle.cli.options import MONEY, PERIOD, SIZE, Place, Seconds, local_files_option
from oracle.cli.session import Session
from oracle.inference.answers import Answers
from oracle.inference.executor import Executor
from oracle.inference.opinions import Opinions
from oracle.state.bell import Bell
from oracle.state.database import WORKER
from oracle.state.store import Store
from oracle.state.watch import Watch
from oracle.types import Address, Wei
from oracle.visible import visible, visible_lines

MANY_OBJECTS = 50_000  # that came, until cycles are looked for
PATIENCE = 2.0  # seconds that a round may take to its end, once the program is to end
ADVICE_SHARE = 3  # the part of --time-limit that onnxruntime gets: it takes half of what we take


class Program(Protocol):
    """What is run: a Service or a Patrol."""

    def tick(self) -> None: ...

    def run(self, stop: Flag, pause: float) -> None: ...

    @property
    def bell(self) -> Bell: ...

    @property
    def is_idle(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Daemon:
    """How a program runs, as its options say."""

    state: str | None
    confirmations: int
    finality: int | None
    poll: float
    time_limit: int
    memory_limit: int
    processes: int
    max_fee_per_gas: Wei | None
    allow_local_files: bool
    cache_bytes: int | None
    once: bool
    json_logs: bool
    metrics: tuple[str, int] | None

    @contextmanager
    def open(
        self,
        session: Session,
        account: Address,
        program: str = WORKER,
        *,
        sender: Address | None = None,
        is_advised: bool = False,
    ) -> Iterator["Opened"]:
        """Opens the state, which `program` tells from another's of the same account, and so
        does the `sender` that is not the account itself; and processes: with `is_advised`, as many
        again for onnxruntime's opinion."""
        suffix = ("" if program == WORKER else f"-{program}") + key_suffix(account, sender)
        if self.state is None:
            state_folder(session).mkdir(parents=True, exist_ok=True)
        url = self.state or state_url(session, account, suffix)
        deployment = session.deployment
        whose = (deployment.chain_id, deployment.queue, account, sender)
        store = Store(url, *whose, program=program, holds=True)
        files = model_files(
            session.settings,
            self.allow_local_files,
            self.cache_bytes,
            _name(session, account, suffix),
        )
        adviser = self._executor(self.time_limit / ADVICE_SHARE) if is_advised else None
        rounds = None if session.disputes is None else session.disputes.periods().rounds
        opinions = Opinions(self._executor(self.time_limit), adviser, rounds)
        answers = Answers(files, opinions, self.processes)
        log = structlog.get_logger()
        count = self.processes * (2 if is_advised else 1)
        log.info("starting processes for inference, which load what they need", processes=count)
        try:
            yield Opened(store, answers)
        finally:
            log.info("stopping: ending processes", processes=count)
            answers.close()
            store.close()
            log.info("stopped; what is open goes on with the next start")

    @contextmanager
    def watched(self, program: str) -> Iterator[Watch | None]:
        """Shows how a program does, where --metrics says so, for as long as it runs. Raises
        ConfigError where the place is taken."""
        if self.metrics is None:
            yield None
            return
        # What serves takes memory, which a program that shows nothing need not have.
        from oracle.serve.monitor import create_monitor
        from oracle.serve.server import Server, listen

        watch = Watch(program)
        server = Server(create_monitor(watch), listen(*self.metrics), drain=1)
        server.start(ended=lambda: None)
        structlog.get_logger().info("showing metrics and health", url=server.url)
        try:
            yield watch
        finally:
            server.stop()
            server.wait()

    def view(self, session: Session) -> View:
        return session.view(self.confirmations, self.finality)

    def _executor(self, time_limit: float) -> Executor:
        return Executor(self.processes, time_limit, self.memory_limit * 2**20)

    def run(self, program: Program, *chains: Chain) -> None:
        """Runs until a signal comes or, with --once, until nothing is left that can be done now.
        `chains` are those that the program asks."""
        # What is read comes in masses and goes again: it need not be looked through for cycles
        # whenever a few hundred came.
        gc.freeze()
        gc.set_threshold(MANY_OBJECTS)
        stop = Flag()
        on_signals(partial(end, stop, program.bell, *chains))
        if not self.once:
            program.run(stop, self.poll)
            return
        program.tick()
        while not program.is_idle and not stop.is_set():
            stop.wait(min(self.poll, 0.1))
            program.tick()


def warn_without_coins(chain: Chain, account: Address) -> None:
    """Says so where `account` cannot pay for gas, and so can neither answer nor defend."""
    if chain.balance(account) == 0:
        log = structlog.get_logger()
        log.warning("our account has no coins to pay for gas: send it some", account=account)


def end(stop: Flag, bell: Bell, *chains: Chain) -> None:
    """Ends a program after its round, and its round after a while: a node that hangs is not waited
    for. What was begun is on record, and goes on with the next start."""
    stop.set()
    bell.ring()
    for chain in chains:
        timer = Timer(PATIENCE, chain.hang_up)
        timer.daemon = True
        timer.start()


def on_signals(*steps: Callable[[], None]) -> None:
    """Has the first step taken when the program is to end, the second at the next signal, and so
    on. Each has a thread of its own, because a signal's handler must take no lock that the thread
    which it interrupts may hold."""
    ahead = iter(steps)

    def take(*_: object) -> None:
        step = next(ahead, None)
        if step is not None:
            Thread(target=step, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, take)


@dataclass(frozen=True, slots=True)
class Opened:
    store: Store
    answers: Answers


def daemon_options(
    *, run: str, time_limit: str, memory_limit: int, once: str | None
) -> Callable[..., Any]:
    """Gives a command the `daemon` that its options describe. `run` names what its child processes
    do, `once` what one pass is; None where one pass would be of no use."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def opened(**given: Any) -> None:
            given.setdefault("once", False)
            daemon = Daemon(**{field.name: given.pop(field.name) for field in fields(Daemon)})
            configure_logs(daemon.json_logs)
            command(daemon=daemon, **given)

        for option in reversed(_options(run, time_limit, memory_limit, once)):
            opened = option(opened)
        return opened

    return decorate


def _options(
    run: str, time_limit: str, memory_limit: int, once: str | None
) -> list[Callable[..., Any]]:
    options = [
        click.option(
            "--state",
            envvar="EXACTUM_STATE",
            help="Where duties are kept, as an SQLAlchemy URL; one with a password had better stand"
            " in $EXACTUM_STATE, since others see what a program is called with."
            " [default: sqlite in $EXACTUM_HOME, a file for each chain and account]",
        ),
        click.option(
            "--confirmations",
            type=click.IntRange(0, 10_000),
            default=0,
            show_default=True,
            help="Blocks to wait before an event is acted on. What a replaced block said is undone"
            " in any case.",
        ),
        click.option(
            "--finality",
            type=click.IntRange(0, 1_000_000),
            metavar="BLOCKS",
            help="How far behind the head no block is replaced any more. [default: the node's"
            " finalized block; where it names none, 128]",
        ),
        click.option(
            "--poll",
            type=Seconds(0.05, 3600),
            default=1.0,
            show_default=True,
            help="Seconds between rounds.",
        ),
        click.option(
            "--time-limit",
            type=PERIOD,
            default=time_limit,
            show_default=True,
            help=f"For one {run}; the child process is killed then. The time to load the model and"
            " to compile kernels is not counted.",
        ),
        click.option(
            "--memory-limit",
            type=click.IntRange(min=1),
            default=memory_limit,
            show_default=True,
            help=f"MiB for one {run}.",
        ),
        click.option(
            "--processes",
            type=click.IntRange(1, 256),
            default=2,
            show_default=True,
            help="Child processes at once.",
        ),
        click.option(
            "--max-fee-per-gas",
            type=MONEY,
            help="Never offer more for a unit of gas, such as 50gwei. What waits for that longer"
            " than its deadline is lost, and the log says so in time. [default: no cap]",
        ),
        local_files_option,
        click.option(
            "--cache-bytes",
            type=SIZE,
            help="What all model files in $EXACTUM_HOME/models may take, for example 50GiB."
            " Fetched ones make way, the least recently used first; 1 GiB of the disk stays free."
            " [default: $EXACTUM_CACHE_BYTES or 16GiB]",
        ),
        click.option("--json-logs", is_flag=True, help="One JSON object a line."),
        click.option(
            "--metrics",
            type=Place(),
            metavar="[HOST:]PORT",
            help="Show how the program does at http://HOST:PORT/metrics, for Prometheus, and"
            " /healthz, which is 503 with reasons while something wants a person. HOST is 127.0.0.1"
            " unless you name one, and had better not be where strangers come: it says what is at"
            " stake.",
        ),
    ]
    if once is not None:
        options.append(click.option("--once", is_flag=True, help=once))
    return options


def state_url(session: Session, account: Address, suffix: str) -> str:
    """Says where a program's state is kept, unless it is told otherwise."""
    return f"sqlite:///{state_folder(session) / _name(session, account, suffix)}.db"


def state_folder(session: Session) -> Path:
    return session.settings.home / "state"


def key_suffix(account: Address, sender: Address | None) -> str:
    """Tells the state of a key that is not the account's own from that of the account's."""
    if sender is None or sender == account:
        return ""
    return f"-by-{sender[2:10].lower()}"


def _name(session: Session, account: Address, suffix: str) -> str:
    """Names a program. The name is the same over all of its runs, and no other program has it."""
    queue = session.deployment.queue[2:10].lower()
    return f"{session.deployment.chain_id}-{queue}-{account[2:10].lower()}{suffix}"


def configure_logs(as_json: bool) -> None:
    """Sets up logs of a sentence and fields: as text on a terminal, as JSON for a machine."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: structlog.typing.Processor
    shared.append(structlog.processors.format_exc_info)
    if as_json:
        final = structlog.processors.JSONRenderer(default=_machine)
    else:
        shared.append(_shown)
        final = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _machine(value: Any) -> Any:
    plain = show.plain(value)
    return repr(value) if plain is value else plain


def _shown(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Makes visible whatever a stranger, a server or a node wrote into a field. Values that are no
    strings stay, because Python's own way of writing them hides nothing."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = visible_lines(value) if name == "exception" else visible(value)
    return event
