"""What requests that take long, or cannot be served, add to the time that others wait for answers.

One operator with one worker, a process with its default options and --allow-local-files, on an
anvil; the times are an L2's, but windows may be short. A light model is asked, one request after
another, and each waits from the moment its transaction is made until its result is on chain:

  alone       with nothing else to do
  ten heavy   while ten requests for one heavy model are open, an ONNX made here that runs for some
              seconds; whenever one is answered another is asked
  six silent  while requests for six models are open, each of another publisher, whose files lie on
              a server that accepts every connection and never says a word
  both        while all of these are

Each has a chain and a worker of its own. The light model is loaded by a first request, which is not
counted; the heavy one must be loaded meanwhile. Before each request is a random pause of up to the
worker's --poll. "New model" is the longest of two first requests for other light models, made after
the rest: those must be fetched, priced and loaded. A p99, or a wait for a new model, that is more
than 5 s above that of the requests alone is a miss, and the exit code is 1. Where no heavy request
is ever answered, or nobody connects to the silent server, the load was none, and it fails as well.
With --json the last line is one JSON object.
"""

import argparse
import json
import os
import random
import secrets
import signal
import socket
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from onnx import helper
from rich.console import Console
from rich.table import Table

from oracle import samples
from oracle.chain import keys as signers
from oracle.chain.contracts import Options
from oracle.chain.devnet import fund
from oracle.chain.presets import preset
from oracle.errors import OracleError
from oracle.tensor import to_bytes
from oracle.types import Assurance, Model, ModelId, RequestId, Wei
from scripts.market import ETHER, ROOT, Asked, Market, Worker, asked, light, market
from scripts.prose import renewed, wrapped
from tests.unit.exact.files import file, tensor

PAGE = ROOT / "docs/benchmarks.md"
HEADING = "## Latency"
BOND = FEE = Wei(ETHER // 100)
WINDOW, TIMEOUT = 3600, 7200  # seconds: nothing is settled and nothing expires meanwhile
PARAMETERS = replace(preset("l2"), min_window=1)
STAKE = PURSE = Wei(500 * ETHER)
POLL = 1.0  # seconds: the worker's default
SIZE = 1024  # rows and columns of a layer of the heavy model

BAR = 5.0  # seconds that a load may add to the p99


@dataclass(frozen=True, slots=True)
class Load:
    """What is open while the light model is asked: so many heavy requests, and so many for models
    that are not to be had."""

    name: str
    heavy: int = 0
    silent: int = 0


LOADS = (
    Load("alone"),
    Load("ten heavy", heavy=10),
    Load("six silent", silent=6),
    Load("both", heavy=10, silent=6),
)
QUICK = (LOADS[0], LOADS[-1])


@dataclass(frozen=True, slots=True)
class Measured:
    """`seconds` that each light request waited; what became of the load until the last of them."""

    load: Load
    seconds: tuple[float, ...]
    first: float  # the longest that the first request for a light model waited
    answered: int  # heavy requests
    fetches: int  # connections to the silent server

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        """The least that 99 of 100 did not exceed; of fewer than 100 the longest."""
        return sorted(self.seconds)[ceil(0.99 * len(self.seconds)) - 1]


# MODELS


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """`new` ones are light too, and asked once."""

    light: "Asked"
    new: tuple["Asked", ...]
    heavy: "Asked"

    @staticmethod
    def made(layers: int) -> "Models":
        new = light(samples.gradient_boosting()), light(samples.digits())
        return Models(light(samples.breast_cancer()), new, heavy(layers))


def heavy(layers: int) -> Asked:
    """A matrix that is multiplied by the same weights again and again, and no element of which is
    the sum of more products than a proof has room for. One number in, one out."""
    rng = np.random.default_rng(0)
    weights = np.asarray(rng.standard_normal((SIZE, SIZE)) / SIZE**0.5, np.float32)
    nodes = [helper.make_node("Mul", ["x", "w"], ["v0"])]
    nodes += [helper.make_node("MatMul", [f"v{n}", "w"], [f"v{n + 1}"]) for n in range(layers)]
    nodes += [helper.make_node("MatMul", ["left", f"v{layers}"], ["row"])]
    nodes += [helper.make_node("MatMul", ["row", "right"], ["y"])]
    shape = tensor("x", (1, 1)), tensor("y", (1, 1))
    constants = {"w": weights, "left": weights[:1], "right": weights[:, :1]}
    made = file(nodes, [shape[0]], [shape[1]], **constants)
    return asked("heavy", made, to_bytes(np.ones((1, 1), np.float32)))


# WHO THERE IS


class SilentServer:
    """Takes connections and says nothing. The kernel accepts them; they are counted afterwards."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listening.setblocking(False)
        self._taken: list[socket.socket] = []

    def uri(self, name: str) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/{name}"

    def connections(self) -> int:
        """How many there were until now."""
        with suppress(BlockingIOError):
            while True:
                self._taken.append(self._listening.accept()[0])
        return len(self._taken)

    def close(self) -> None:
        for each in (*self._taken, self._listening):
            each.close()


def publish_silent(place: Market, name: str, like: Asked, server: SilentServer) -> ModelId:
    """Publishes what nobody will ever have, by a publisher who published nothing else."""
    publisher = signers.from_key(secrets.token_bytes(32))
    fund(place.chain, publisher.address, Wei(ETHER))
    model = Model(
        publisher=publisher.address,
        name=name,
        version="1",
        program_root=secrets.token_bytes(32),
        source_hash=secrets.token_bytes(32),
        signature=like.program.signature,
        assurance=Assurance.EXACT,
        royalty=Wei(0),
    )
    return place.publish_as(publisher, model, server.uri(name))


def ask(place: Market, model: ModelId, payload: bytes) -> RequestId:
    return place.ask(model, payload, FEE, Options(bond=BOND, window=WINDOW, timeout=TIMEOUT))


class Heavy:
    """Keeps so many requests for one model open."""

    def __init__(self, market: Market, served: Asked, count: int):
        self.answered = 0
        self._market = market
        self._payload = served.payload
        self._count = count
        self._model = market.publish(served) if count else None
        self._open: list[RequestId] = []

    def look(self) -> None:
        """Counts what was answered, and asks as often anew."""
        left = [each for each in self._open if not self._market.is_answered(each)]
        self.answered += len(self._open) - len(left)
        self._open = left
        while self._model is not None and len(self._open) < self._count:
            self._open.append(ask(self._market, self._model, self._payload))

    def has_answers(self) -> bool:
        self.look()
        return self.answered > 0


# MEASURING


def measure(load: Load, requests: int, models: Models) -> Measured:
    server = SilentServer()
    try:
        with (
            market(PARAMETERS, STAKE, PURSE) as place,
            place.working(place.operator) as worker,
        ):
            return measure_in(place, worker, server, load, requests, models)
    finally:
        server.close()


def measure_in(
    place: Market,
    worker: Worker,
    server: SilentServer,
    load: Load,
    requests: int,
    models: Models,
) -> Measured:
    """The load is there before the first of the requests, and until the last."""
    small = models.light
    model = place.publish(small)
    wait_for_answer(place, worker, model, small)
    silent = [publish_silent(place, f"silent-{n}", small, server) for n in range(load.silent)]
    for each in silent:
        ask(place, each, small.payload)
    worker.until(lambda: server.connections() >= load.silent, "each silent model was asked for")
    busy = Heavy(place, models.heavy, load.heavy)
    pauses = random.Random(0)

    def waited(model: ModelId, served: Asked) -> float:
        busy.look()
        time.sleep(pauses.uniform(0, POLL))
        return wait_for_answer(place, worker, model, served)

    seconds = tuple(waited(model, small) for _ in range(requests))
    first = max(waited(place.publish(new), new) for new in models.new)
    busy.look()
    measured = Measured(load, seconds, first, busy.answered, server.connections())
    if load.heavy:
        worker.until(busy.has_answers, "a heavy request was answered")
    return measured


def wait_for_answer(place: Market, worker: Worker, model: ModelId, served: Asked) -> float:
    """Asks, and gives the seconds until the result is on chain."""
    started = time.monotonic()
    request = ask(place, model, served.payload)
    worker.until(lambda: place.is_answered(request), "a light request was answered")
    return time.monotonic() - started


# TABLES

HEAD = (
    *("open meanwhile", "requests", "median s", "p99 s", "more s", "bar"),
    *("new model s", "more s", "bar", "heavy answered", "fetches"),
)


def rows_of(found: Sequence[Measured]) -> list[tuple[str, ...]]:
    return [row_of(each, found[0]) for each in found]


def row_of(each: Measured, alone: Measured) -> tuple[str, ...]:
    load = each.load
    added, added_new = (
        more(mine, theirs) if load.heavy or load.silent else ("", "")
        for mine, theirs in ((each.p99, alone.p99), (each.first, alone.first))
    )
    times = f"{each.median:.2f}", f"{each.p99:.2f}", *added, f"{each.first:.2f}", *added_new
    answered = f"{each.answered}" if load.heavy else ""
    fetches = f"{each.fetches}" if load.silent else ""
    return load.name, str(len(each.seconds)), *times, answered, fetches


def more(seconds: float, alone: float) -> tuple[str, str]:
    """Gives the seconds that a load adds, and the bar."""
    added = seconds - alone
    return f"{added:.2f}", f"≤ {BAR:g}" + ("" if added <= BAR else ": missed")


def table(rows: Sequence[tuple[str, ...]]) -> Table:
    made = Table(title="Seconds until a light request is answered")
    for at, name in enumerate(HEAD):
        made.add_column(name, no_wrap=at == 0, justify="left" if at == 0 else "right")
    for row in rows:
        made.add_row(*row, style="red" if is_missed(row) else None)
    return made


def is_missed(row: tuple[str, ...]) -> bool:
    return any(cell.endswith("missed") for cell in row)


def section(rows: Sequence[tuple[str, ...]], layers: int) -> str:
    intro = (
        "Written by `./dev bench latency --write`: seconds from the making of a request's"
        " transaction until its result is on chain, of requests one after another for a light"
        " model (*breast-cancer*), on an anvil, with one worker of default options on"
        f" {os.cpu_count()} processors. *Ten heavy*: ten requests for one model, {layers} products"
        f" of matrices of {SIZE} × {SIZE}, are open all the while. *Six silent*: requests for six"
        " models whose servers accept connections and never answer. *More*: the p99's increase"
        " over that of the requests alone. *New model*: the longest of two first requests for light"
        " models that must be fetched, priced and loaded. How many of the heavy"
        " requests were answered meanwhile,"
        " and how often a silent server was connected to, stands beside it."
    )
    lines = ["| " + " | ".join(HEAD) + " |", "|---|" + "--:|" * (len(HEAD) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([wrapped(intro), "", *lines])


def write(rows: Sequence[tuple[str, ...]], layers: int) -> None:
    PAGE.write_text(renewed(PAGE.read_text(), HEADING, section(rows, layers)))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="./dev bench latency",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--requests",
        type=int,
        default=100,
        metavar="N",
        help="light requests for each load [default: 100]",
    )
    parser.add_argument(
        "--layers",
        type=int,
        default=150,
        metavar="N",
        help="of the heavy model, each a product of two matrices of 1,024 × 1,024, some 50 ms"
        " [default: 150]",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--write", action="store_true", help=f"renew {PAGE.name}: {HEADING[3:]}")
    either.add_argument(
        "--quick", action="store_true", help="alone and both, with five requests each"
    )
    arguments = parser.parse_args()
    if arguments.requests < 1 or arguments.layers < 1:
        parser.error("there must be at least one request, and one layer")
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which cleans up
    console = Console(stderr=arguments.json, width=None if sys.stderr.isatty() else 120)

    requests = 5 if arguments.quick else arguments.requests
    loads = QUICK if arguments.quick else LOADS
    models = Models.made(arguments.layers)
    try:
        found = []
        for load in loads:
            with console.status(f"{load.name}: {requests} requests"):
                found.append(measure(load, requests, models))
    except OracleError as error:
        console.print(str(error), style="red")
        return 1
    rows = rows_of(found)
    console.print(table(rows))
    missed = [row[0] for row in rows if is_missed(row)]
    console.print(f"bars missed: {'; '.join(missed) or 'none'}", style="red" if missed else "green")
    if arguments.write:
        write(rows, arguments.layers)
    if arguments.json:
        print(json.dumps({each.load.name: values_of(each) for each in found}))
    return int(bool(missed))


def values_of(each: Measured) -> dict[str, float]:
    return {
        "median": each.median,
        "p99": each.p99,
        "new_model": each.first,
        "heavy_answered": each.answered,
        "fetches": each.fetches,
    }


if __name__ == "__main__":
    sys.exit(main())
