"""The programs at work: in this process where the chain is too, else each in its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from structlog.contextvars import bound_contextvars

from oracle.chain import keys as signers
from oracle.chain.keys import Signer
from oracle.challenger import policy as challengers
from oracle.challenger.patrol import Patrol
from oracle.cli import challenger as challenger_command
from oracle.cli import serve as serve_command
from oracle.cli import worker as worker_command
from oracle.cli.demo.liar import Liar
from oracle.cli.files import model_files
from oracle.cli.session import Session
from oracle.errors import ChainError
from oracle.inference.answers import Answers, Inference
from oracle.inference.executor import Executor
from oracle.inference.opinions import Opinions
from oracle.serve.guard import GuardLimits
from oracle.serve.server import Server, listen
from oracle.state.database import CHALLENGER, WORKER
from oracle.state.store import Store
from oracle.worker import policy as workers
from oracle.worker.service import Service, SigningSetup

PASSWORD = "demo"  # of keys that live as long as the demo
POLL = 0.2  # seconds between the rounds of a process
HOST = "127.0.0.1"


class Program(Protocol):
    """A program of somebody, in this process or in another."""

    def go_on(self) -> None:
        """Gives it time to work."""
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """In this process: works when told to."""

    name: str
    tick: Callable[[], None]

    def go_on(self) -> None:
        with bound_contextvars(who=self.name):
            self.tick()
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """In a process of its own: works by itself."""

    name: str
    process: "subprocess.Popen[bytes]"

    def go_on(self) -> None:
        if self.process.poll() is not None:
            raise ChainError(f"The {self.name} stopped with code {self.process.returncode}.")
        time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Operator:
    """A worker that also signs answers for whoever asks at `url`."""

    program: Program
    url: str


# WHO THERE IS


def operator(session: Session, signer: Signer) -> AbstractContextManager[Operator]:
    if session.chain.is_embedded:
        return _operator_here(session, signer)
    command = ("-m", "oracle.cli", "serve", "--poll", str(POLL))
    return _operator_elsewhere(session, "operator", signer, command)


def liar(session: Session, signer: Signer) -> AbstractContextManager[Operator]:
    if session.chain.is_embedded:
        return _liar_here(session, signer)
    return _operator_elsewhere(session, "liar", signer, ("-m", "oracle.cli.demo.lying_worker"))


def challenger(session: Session, signer: Signer) -> AbstractContextManager[Program]:
    if session.chain.is_embedded:
        return _challenger_here(session, signer)
    # By itself it would reckon with what it costs to pursue a network as large as ResNet-18.
    command = ("-m", "oracle.cli", "challenger", "--even-at-a-loss", "--poll", str(POLL))
    state = ("--state", _state(session, "challenger"))
    with _store(session, "challenger", signer):
        pass  # which makes the tables, before two processes could try to
    return _elsewhere(session, "challenger", signer, (*command, *state))


def all_confirmed(session: Session, challenger: Signer, disputes: Sequence[bytes]) -> bool:
    """Says whether the challenger has re-run these results and found all right, by its own
    state."""
    with _store(session, "challenger", challenger) as store:
        return all(store.is_right(each) for each in disputes)


# IN THIS PROCESS


@contextmanager
def _operator_here(session: Session, signer: Signer) -> Iterator[Operator]:
    with (
        _answers(session, is_advised=True) as answers,
        _working(session, "operator", signer, answers) as service,
        serving(session, service, port=0) as url,
    ):
        yield Operator(Here("operator", service.tick), url)


@contextmanager
def _liar_here(session: Session, signer: Signer) -> Iterator[Operator]:
    with lying(session, signer) as service, serving(session, service, port=0) as url:
        yield Operator(Here("liar", service.tick), url)


@contextmanager
def _challenger_here(session: Session, signer: Signer) -> Iterator[Program]:
    with (
        _answers(session) as answers,
        _store(session, "challenger", signer) as store,
    ):
        policy = challengers.Policy(signer.address, even_at_a_loss=True)
        setup = challenger_command.set_up(
            session,
            view=session.view(),
            store=store,
            inference=answers,
            policy=policy,
            signer=signer,
        )
        yield Here("challenger", Patrol(setup).tick)


@contextmanager
def _working(
    session: Session, name: str, signer: Signer, inference: Inference
) -> Iterator[Service]:
    """Builds a worker that signs, with its state, and closes the state at the end."""
    with _store(session, name, signer) as store:
        policy = workers.Policy(signer.address)
        setup = worker_command.set_up(
            session,
            view=session.view(),
            store=store,
            inference=inference,
            policy=policy,
            signer=signer,
        )
        yield Service(setup, SigningSetup(session.registry))


@contextmanager
def lying(session: Session, signer: Signer) -> Iterator[Service]:
    """Builds the liar's worker, as `_working` does."""
    with (
        closing(Answers(model_files(session.settings), Liar())) as answers,
        _working(session, "liar", signer, answers) as service,
    ):
        yield service


@contextmanager
def serving(session: Session, service: Service, port: int) -> Iterator[str]:
    """Takes over HTTP, at the URL that it gives, what the worker is asked to sign."""
    app = serve_command.api(session, service, GuardLimits())
    server = Server(app, listen(HOST, port), drain=1)
    server.start(ended=lambda: None)
    try:
        yield server.url
    finally:
        server.stop()
        server.wait()


@contextmanager
def _answers(session: Session, *, is_advised: bool = False) -> Iterator[Answers]:
    adviser = Executor(processes=1) if is_advised else None
    opinions = Opinions(Executor(processes=1), adviser)
    answers = Answers(model_files(session.settings), opinions)
    try:
        yield answers
    finally:
        answers.close()


@contextmanager
def _store(session: Session, name: str, signer: Signer) -> Iterator[Store]:
    url = _state(session, name)
    program = CHALLENGER if name == CHALLENGER else WORKER
    queue = session.deployment.queue
    store = Store(url, session.chain.id, queue, signer.address, program=program)
    try:
        yield store
    finally:
        store.close()


def _state(session: Session, name: str) -> str:
    return f"sqlite:///{session.settings.home}/{name}.db"


# IN PROCESSES


@contextmanager
def _operator_elsewhere(
    session: Session, name: str, signer: Signer, command: tuple[str, ...]
) -> Iterator[Operator]:
    port = _free_port()
    with _elsewhere(session, name, signer, (*command, "--port", str(port))) as program:
        yield Operator(program, f"http://{HOST}:{port}")


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as found:
        port: int = found.getsockname()[1]
        return port


@contextmanager
def _elsewhere(
    session: Session, name: str, signer: Signer, command: tuple[str, ...]
) -> Iterator[Program]:
    settings = session.settings
    if not (settings.keys / f"{name}.json").exists():
        signers.create(settings.keys / f"{name}.json", PASSWORD, signer.account.key)
    with open(settings.home / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command], env=environment(session, name), stderr=log
        )
    try:
        yield Elsewhere(name, process)
    finally:
        process.terminate()
        process.wait()


def environment(session: Session, key: str = "") -> dict[str, str]:
    settings = session.settings
    return os.environ | {
        "EXACTUM_HOME": str(settings.home),
        "EXACTUM_DEPLOYMENTS": str(settings.deployments),
        "EXACTUM_RPC": session.chain.url,
        "EXACTUM_KEY": key,
        "EXACTUM_PASSWORD": PASSWORD,
    }
