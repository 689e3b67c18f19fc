"""How many requests a worker answers in a second, and how soon, beside what the chain takes.

Each part has an anvil of its own, in its default mode, with the contracts as preset l2 has them and
one EXACT model, a logistic regression (breast-cancer); no two requests are alike. The worker is a
process, `exactum worker --poll 0.1` with its other options as they are, on a state that is new.
All of it shares this machine.

  ceiling  proposals, one in a transaction, signed beforehand and handed over 50 at a time on one
           connection, the next 50 when these are mined: what anvil takes, without a worker. The 50
           are of 50 operators, because of one account's anvil loses some
  batched  requests are mined while the worker is stopped; it answers them with the operator's own
           key. The time is from the last look at which nothing was answered until all is. Of one
           model it may have so many results open at once as it could defend: with more, they come
           in parts, and what settles the ones before is not measured
  single   the same with a key that the operator has named: each answer is a transaction
  backlog  requests are mined, and every second one pays too little: a dry run reads and decides
           them. The time is from "worker is up" in its log, after which the first round begins,
           until its state has a duty for every request, and the reason against each that pays too
           little; the last of all is one of these
  latency  one request after another, at random moments: from the block that has the request until
           the next block, which has the answer. The model was loaded for one before

Memory and processor time are those of the worker and of its children in the batched part: the most
that is resident at once, where what they share counts for each, and what they compute from "worker
is up" on. Memory is flat if the worker's own process, without its children, has at most a tenth
more when 90 % is answered than when 25 % is. Where a bar is missed, the exit code is 1. With --json
the last line is one JSON object.
"""

import argparse
import json
import os
import random
import secrets
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import Engine

from oracle import samples
from oracle.chain import keys as signers
from oracle.chain.contracts import Options
from oracle.chain.devnet import fund, skip_time
from oracle.chain.events import RequestCreated, ResultProposed
from oracle.chain.keys import Signer
from oracle.chain.presets import preset
from oracle.errors import ChainError, OracleError
from oracle.exact.run import Runner
from oracle.inference.engine import Exact
from oracle.state.duties import DutyKind
from oracle.state.schema import DUTIES, OPINIONS
from oracle.tensor import to_bytes
from oracle.types import ModelId, Wei
from scripts.market import ETHER, ROOT, Asked, Market, Worker, light, market
from scripts.processes import cpu_seconds_of_tree, resident, resident_of_tree
from scripts.prose import renewed, wrapped

PAGE = ROOT / "docs/benchmarks.md"
HEADING = "## Worker"
PARAMETERS = preset("l2")
BOND = PARAMETERS.min_bond
FEE, TOO_LITTLE = Wei(ETHER // 100), Wei(1)
DAY = 86_400  # seconds: nothing is settled and nothing expires, unless they are skipped
MOST_OPEN = 4_000  # results of one model at once: a worker with the usual options defends more
OPTIONS = Options(bond=BOND, window=DAY, timeout=DAY)
PURSE = Wei(100 * ETHER)  # for gas
POLL = 0.1  # seconds: the worker's
LOOK = 0.05  # seconds between two looks at how much is answered
CLOSE_LOOK = 0.002  # seconds, at whether there is a block
SAMPLE = 1.0  # seconds between two looks at all processes
QUICK = 60  # requests

BATCHED_BAR, SINGLE_BAR = 0.5, 0.15  # of the ceiling
BACKLOG_BAR = 5_000  # requests a second
LATENCY_BAR = 150  # ms
GROWTH_BAR = 10  # percent

Say = Callable[[str], None]
"""Shows how far it is."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many requests each part has."""

    ceiling: int
    batched: int
    single: int
    backlog: int
    latency: int

    @staticmethod
    def of(requests: int) -> "Counts":
        """Gives each its share, and enough to be measured. Half of the backlog pays too little."""
        return Counts(
            ceiling=500,  # as many as single: with thousands of blocks anvil becomes slower
            batched=requests,
            single=min(500, max(20, requests // 10)),
            backlog=2 * max(10, requests // 4),
            latency=max(10, requests // 100),
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """How a worker answered what waited for it."""

    per_s: float
    resident: int  # bytes, of all its processes
    growth: float  # percent, of its own process
    cpu_ms: float  # a request


@dataclass(frozen=True, slots=True)
class Measured:
    counts: Counts
    ceiling: float  # a second
    batched: Answered
    single: Answered
    backlog: float  # a second
    latency: Sequence[float]  # ms

    @property
    def p50(self) -> float:
        return statistics.median(self.latency)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.latency, n=100, method="inclusive")[98]

    def json(self) -> dict[str, float]:
        found = {
            "ceiling_per_s": self.ceiling,
            "batched_per_s": self.batched.per_s,
            "single_per_s": self.single.per_s,
            "backlog_per_s": self.backlog,
            "latency_ms_p50": self.p50,
            "latency_ms_p99": self.p99,
            "rss_mb": self.batched.resident / 1e6,
            "cpu_ms_per_request": self.batched.cpu_ms,
        }
        return {name: round(value, 2) for name, value in found.items()}


# WHO ASKS


class Place:
    """A market in which one model is published, and asked often."""

    def __init__(self, found: Market, served: Asked, model: ModelId):
        self.market = found
        self.chain = found.chain
        self.model = model
        self._served = served

    def requests(self, fees: Sequence[Wei], say: Say, first: int = 0) -> Iterator[bytes]:
        """Yields a signed request for each fee, of several users."""
        queue, crowd = self.market.queue, self.market.crowd(Wei(sum(fees) + PURSE))
        calls = [
            queue.request(self.model, payload(at), fee, OPTIONS)
            for at, fee in enumerate(fees, first)
        ]
        for at, raw in enumerate(self.market.signed(crowd, calls)):
            if at % 100 == 0:
                say(f"{at} of {len(fees)} requests signed")
            yield raw

    def ask(self, fees: Sequence[Wei], say: Say, first: int = 0) -> None:
        """Has a request mined for each fee, of which the first is number `first` of all."""
        before = self.chain.balance(self.market.queue.address)
        for count in self.market.mine(list(self.requests(fees, say, first))):
            say(f"{count} of {len(fees)} requests made")
        if self.chain.balance(self.market.queue.address) != before + sum(fees):
            raise ChainError("Not all requests succeeded.")

    def operators(self, count: int) -> list[Signer]:
        """Makes operators that have a stake for so many answers."""
        crowd = self.market.crowd(Wei(count * BOND + PURSE))
        stakes = [self.market.queue.stake(Wei(count * BOND))] * len(crowd)
        for _ in self.market.mine(list(self.market.signed(crowd, stakes))):
            pass
        return crowd

    def proposals(self, operators: Sequence[Signer], first: int) -> list[bytes]:
        """Answers the requests made in block `first` and later, in signed transactions."""
        engine = Exact(Runner(self._served.program))
        asked = self.market.events(RequestCreated, first)
        answers = [(event.request, engine.infer(event.payload)) for event in asked]
        calls = [self.market.queue.propose([answer]) for answer in answers]
        return list(self.market.signed(operators, calls))

    def settle(self, worker: Worker, count: int, say: Say) -> None:
        """Lets the windows of so many results pass, and waits until they are settled."""
        skip_time(self.chain, DAY)
        settled = f"{count} results were settled"
        for found in worker.looks(lambda: count - self.answered(), count, settled, LOOK):
            say(f"{found} of {count} results settled")

    def answered(self) -> int:
        """Counts the operator's results that are open: each locks its bond."""
        return self.market.queue.account_of(self.market.operator.address).locked // BOND


def payload(at: int) -> bytes:
    """Gives what a request asks: a row of the sample's, a little larger each time."""
    rows = samples.breast_cancer().rows
    return to_bytes(rows[at % len(rows)] * np.float32(1 + at * 2.0**-20))


@contextmanager
def place(requests: int) -> Iterator[Place]:
    """Opens a market whose operator has a stake for so many answers."""
    served = light(samples.breast_cancer())
    with market(PARAMETERS, Wei(2 * requests * BOND), PURSE) as found:
        yield Place(found, served, found.publish(served))


class Wire:
    """Asks a node by one connection and does nothing besides, because it asks hundreds of times a
    second, on a machine that the worker needs as well."""

    def __init__(self, url: str):
        self._connection = HTTPConnection(urlsplit(url).netloc)

    def ask(self, method: str, *parameters: object) -> Any:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        header = {"Content-Type": "application/json"}
        try:
            self._connection.request("POST", "/", json.dumps(asked), header)
            reply = json.loads(self._connection.getresponse().read())
        except (OSError, HTTPException) as error:
            raise ChainError(f"The node does not answer ({type(error).__name__}).") from error
        if "error" in reply:
            raise ChainError(f"The node refused {method}: {reply['error']}.")
        return reply["result"]

    def height(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def close(self) -> None:
        self._connection.close()


# MEASURING


def ceiling(count: int, say: Say) -> float:
    """Gives the proposals a second that anvil takes."""
    with place(count) as here:
        operators = here.operators(count)
        first = here.chain.height() + 1
        here.ask([FEE] * count, say)
        transactions = here.proposals(operators, first)
        began = time.monotonic()
        for sent in here.market.mine(transactions):
            say(f"{sent} of {count} proposals sent")
        seconds = time.monotonic() - began
        proposed = len(here.market.events(ResultProposed, first))
        if proposed != count:
            raise ChainError(f"Of {count} proposals {proposed} succeeded.")
        return count / seconds


def batched(count: int, say: Say) -> Answered:
    with (
        place(count) as here,
        here.market.working(here.market.operator, "--poll", str(POLL)) as worker,
    ):
        return answering(here, worker, count, say)


def single(count: int, say: Say) -> Answered:
    with place(count) as here:
        operator, hot = here.market.operator, new_signer(here)
        limit = here.market.queue.account_of(operator.address).staked
        call = here.market.queue.set_signer(hot.address, limit)
        here.market.session.transact(operator, call)
        options = "--operator", operator.address, "--poll", str(POLL)
        with here.market.working(hot, *options) as worker:
            return answering(here, worker, count, say)


def new_signer(here: Place) -> Signer:
    """Makes a key that can pay for gas."""
    made = signers.from_key(secrets.token_bytes(32))
    fund(here.chain, made.address, PURSE)
    return made


def answering(here: Place, worker: Worker, count: int, say: Say) -> Answered:
    """Measures how a worker answers all that is asked."""
    say("starting the worker")
    worker.until_up()
    meter = Meter(worker.pid, count)
    for first in range(0, count, MOST_OPEN):
        some = min(MOST_OPEN, count - first)
        with worker.stopped():
            here.ask([FEE] * some, say, first)
        with meter.running():
            for found in worker.looks(here.answered, some, f"{some} requests were answered", LOOK):
                say(f"{first + found} of {count} requests answered")
                meter.look(first, found)
        if first + some < count:
            here.settle(worker, some, say)
    return meter.answered()


class Meter:
    """The seconds, the memory and the processor time that a worker takes for `count` answers."""

    def __init__(self, pid: int, count: int):
        self._pid = pid
        self._count = count
        self._seconds = self._computed = 0.0
        self._began = 0.0  # the last look at which nothing was answered
        self._sampled = 0.0  # when it was last looked at all processes
        self._most = self._at_quarter = self._at_nine_tenths = 0  # bytes

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measures what is answered inside."""
        computed, self._began = cpu_seconds_of_tree(self._pid), time.monotonic()
        yield
        self._seconds += time.monotonic() - self._began
        self._computed += cpu_seconds_of_tree(self._pid) - computed
        self._most = max(self._most, resident_of_tree(self._pid))

    def look(self, before: int, found: int) -> None:
        """Takes note that `found` are answered, of those after the ones `before`."""
        now, all_ = time.monotonic(), before + found
        if found == 0:
            self._began = now
        if not self._at_quarter and 4 * all_ >= self._count:
            self._at_quarter = resident(self._pid)
        if not self._at_nine_tenths and 10 * all_ >= 9 * self._count:
            self._at_nine_tenths = resident(self._pid)
        if now - self._sampled >= SAMPLE:
            self._most, self._sampled = max(self._most, resident_of_tree(self._pid)), now

    def answered(self) -> Answered:
        return Answered(
            per_s=self._count / self._seconds,
            resident=self._most,
            growth=100 * (self._at_nine_tenths / self._at_quarter - 1),
            cpu_ms=1000 * self._computed / self._count,
        )


def backlog(count: int, say: Say) -> float:
    """Gives the requests a second that a worker reads and decides."""
    too_little = count // 2
    with place(count) as here:
        here.ask([FEE, TOO_LITTLE] * too_little, say)
        operator = here.market.operator
        state = here.market.session.settings.home / "state.db"
        options = "--dry-run", operator.address, "--state", f"sqlite:///{state}"
        with here.market.working(operator, *options, "--poll", str(POLL)) as worker:
            say("starting the worker")
            began = worker.until_up()
            engine = looking_at(state)
            wanted = count + too_little
            what = f"{count} requests were read, and {too_little} of them declined"
            for found in worker.looks(lambda: decided(engine), wanted, what):
                say(f"{found} of {wanted} duties and opinions")
            seconds = time.monotonic() - began
            engine.dispose()
        return count / seconds


def looking_at(state: Path) -> Engine:
    """Opens a state that a worker has made, and changes nothing."""
    return create_engine(f"sqlite:///file:{state}?mode=ro&uri=true")


def decided(engine: Engine) -> int:
    """Counts the answers that a worker owes, and its reasons against some of them."""
    with engine.connect() as connection:
        return sum(
            connection.execute(
                select(func.count()).select_from(table).where(table.c.kind == DutyKind.PROPOSE)
            ).scalar_one()
            for table in (DUTIES, OPINIONS)
        )


def latency(count: int, say: Say) -> list[float]:
    """Gives the milliseconds that each request waited."""
    with place(count) as here:
        first, *others = here.requests([FEE] * (count + 1), say)
        wire = Wire(here.chain.url)
        with here.market.working(here.market.operator, "--poll", str(POLL)) as worker:
            wire.ask("eth_sendRawTransaction", "0x" + first.hex())
            worker.until(lambda: here.answered() == 1, "the first request was answered")
            pauses, found = random.Random(0), list[float]()
            for raw in others:
                say(f"{len(found)} of {count} requests answered")
                time.sleep(pauses.uniform(0, 2 * POLL))
                found.append(waited(wire, worker, raw))
        wire.close()
        if here.answered() != count + 1:
            raise ChainError(f"Of {count + 1} requests {here.answered()} were answered.")
        return found


def waited(wire: Wire, worker: Worker, raw: bytes) -> float:
    """Asks, and gives the milliseconds from the block that has the request to the next one."""
    before = wire.height()
    wire.ask("eth_sendRawTransaction", "0x" + raw.hex())
    asked = 0.0
    for height in worker.looks(wire.height, before + 2, "a request was answered", CLOSE_LOOK):
        if height > before and not asked:
            asked = time.monotonic()
    return 1000 * (time.monotonic() - asked)


# TABLES


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    found: str
    bar: str = ""
    is_missed: bool = False

    @property
    def cells(self) -> tuple[str, str, str]:
        return self.what, self.found, self.bar + (": missed" if self.is_missed else "")


HEAD = "", "found", "bar"


def rows_of(found: Measured) -> list[Row]:
    counts, top = found.counts, found.ceiling
    at_batched, at_single = BATCHED_BAR * top, SINGLE_BAR * top
    batched, growth = found.batched, found.batched.growth
    return [
        Row(f"ceiling: {counts.ceiling:,} proposals", f"{top:,.0f} /s"),
        Row(
            f"batched: {counts.batched:,} requests",
            f"{batched.per_s:,.1f} /s",
            f"≥ {at_batched:,.0f}",
            batched.per_s < at_batched,
        ),
        Row(
            f"single: {counts.single:,} requests",
            f"{found.single.per_s:,.1f} /s",
            f"≥ {at_single:,.0f}",
            found.single.per_s < at_single,
        ),
        Row(
            f"backlog: {counts.backlog:,} requests",
            f"{found.backlog:,.0f} /s",
            f"≥ {BACKLOG_BAR:,}",
            found.backlog < BACKLOG_BAR,
        ),
        Row(
            f"latency: {counts.latency:,} requests, median",
            f"{found.p50:.0f} ms",
            f"≤ {LATENCY_BAR}",
            found.p50 > LATENCY_BAR,
        ),
        Row("latency, p99", f"{found.p99:.0f} ms"),
        Row("memory of all processes, at most", f"{batched.resident / 1e6:.0f} MB"),
        Row(
            "growth of the worker's own from 25 % to 90 %",
            f"{growth:.1f} %",
            f"≤ {GROWTH_BAR}",
            growth > GROWTH_BAR,
        ),
        Row("processor time a request", f"{batched.cpu_ms:.1f} ms"),
    ]


def table(rows: Sequence[Row]) -> Table:
    made = Table(title="A worker and a logistic model")
    for name, justify in zip(HEAD, ("left", "right", "right"), strict=True):
        made.add_column(name, no_wrap=True, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        made.add_row(*row.cells, style="red" if row.is_missed else None)
    return made


def section(rows: Sequence[Row]) -> str:
    intro = (
        "Written by `./dev bench worker --write`, whose `--help` says what each is: requests for a"
        " logistic model (*breast-cancer*), which are mined, until their answers are, by one worker"
        f" with `--poll 0.1` on {os.cpu_count()} processors that it shares with anvil. *Ceiling*:"
        " what anvil takes of proposals that were signed beforehand, one in a transaction, without"
        " a worker. *Batched*: with the operator's own key; *single*: with a hot key, each answer a"
        " transaction. *Backlog*: requests that a new state reads and decides; half of them pay too"
        " little. *Latency*: from the block that has a request to that which has its answer, one"
        " after another. Memory and processor time are the batched part's."
    )
    lines = ["| " + " | ".join(HEAD) + " |", "|---|--:|--:|"]
    lines += ["| " + " | ".join(row.cells) + " |" for row in rows]
    return "\n".join([wrapped(intro), "", *lines])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="./dev bench worker",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    parser.add_argument("--write", action="store_true", help=f"renew {PAGE.name}: {HEADING[3:]}")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--requests",
        type=int,
        default=20_000,
        metavar="N",
        help="of the batched part; the others have their share [default: 20000]",
    )
    either.add_argument("--quick", action="store_true", help=f"as --requests {QUICK}")
    arguments = parser.parse_args()
    if arguments.requests < 1:
        parser.error("there must be at least one request")
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which cleans up
    console = Console(stderr=arguments.json, width=None if sys.stderr.isatty() else 120)

    try:
        found = measure(Counts.of(QUICK if arguments.quick else arguments.requests), console)
    except OracleError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    rows = rows_of(found)
    console.print(table(rows))
    missed = [row.what for row in rows if row.is_missed]
    console.print(f"bars missed: {'; '.join(missed) or 'none'}", style="red" if missed else "green")
    if arguments.write:
        PAGE.write_text(renewed(PAGE.read_text(), HEADING, section(rows)))
    if arguments.json:
        print(json.dumps(found.json()))
    return int(bool(missed))


def measure(counts: Counts, console: Console) -> Measured:
    """Measures one part after another."""

    def part(name: str, measured: Callable[[int, Say], Any], count: int) -> Any:
        began = time.monotonic()
        with console.status(name) as status:
            found = measured(count, lambda text: status.update(f"{name}: {text}"))
        seconds = time.monotonic() - began
        console.print(f"{name}: {count:,} requests, {seconds:.0f} s with all that goes before")
        return found

    return Measured(
        counts=counts,
        ceiling=part("ceiling", ceiling, counts.ceiling),
        batched=part("batched", batched, counts.batched),
        single=part("single", single, counts.single),
        backlog=part("backlog", backlog, counts.backlog),
        latency=part("latency", latency, counts.latency),
    )


if __name__ == "__main__":
    sys.exit(main())
