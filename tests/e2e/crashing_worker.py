"""A worker that kills itself at the n-th thing it does: a call to the node, a statement, a commit.

    python crashing_worker.py URL DEPLOYMENT KEY

It reads lines `STATE N` and forks for each (importing web3 takes a second), so each crash is that
of a process, by SIGKILL. For each it prints the exit status and how much was done; N of 0 kills
nothing. It works until nothing is left to do, and moves the devnet's clock where it has to wait.
"""

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
import structlog

from oracle.chain import deployment as deployments
from oracle.chain import devnet
from oracle.chain.connection import connect
from oracle.chain.contracts import Queue
from oracle.chain.finality import Finality
from oracle.chain.keys import from_key
from oracle.chain.transactions import Sender
from oracle.chain.view import View
from oracle.state.duties import State
from oracle.state.store import Store
from oracle.worker.policy import Policy
from oracle.worker.service import Service, Setup
from tests.chains import variant
from tests.integration.workers import CALIBRATION, Answers

ROUNDS = 60


class Fate:
    def __init__(self, deadly: int):
        self.deadly = deadly
        self.done = 0

    def __call__(self, *_: object) -> None:
        self.done += 1
        if self.done == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def work(url: str, path: str, key: str, state: str, fate: Fate) -> None:
    devnet_chain = connect(url)
    deployment = deployments.read_deployment(Path(path))
    signer = from_key(key)

    class Doomed:
        @contextmanager
        def guarded(self) -> Iterator[None]:
            fate()
            with super().guarded():  # type: ignore[misc]
                yield
            fate()

    chain = variant(devnet_chain, Doomed)
    store = Store(state, chain.id, deployment.queue, signer.address)
    for name in ("before_cursor_execute", "commit"):
        sqlalchemy.event.listen(store._engine, name, fate)
    setup = Setup(
        chain=chain,
        queue=Queue(chain, deployment),
        view=View(chain, deployment, Finality(chain)),
        store=store,
        inference=Answers(),
        policy=Policy(signer.address),
        sender=Sender(chain, signer, store),
        calibration=CALIBRATION,
        parallel=8,
    )
    service = Service(setup)
    for _ in range(ROUNDS):
        service.tick()
        left = store.duties(State.OPEN, State.SENT)
        if not left and service.is_idle:
            return
        now = devnet_chain.block("latest").time
        if service.is_idle and all(row.duty.not_before > now for row in left):
            devnet.skip_time(devnet_chain, max(row.duty.not_before for row in left) - now)
    raise RuntimeError(f"never done: {store.duties(*State)}, {store.waiting()}")


def main() -> None:
    url, path, key = sys.argv[1:]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for line in sys.stdin:
        state, deadly = line.split()
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            fate = Fate(int(deadly))
            try:
                work(url, path, key, state, fate)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os.write(tell, str(fate.done).encode())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.close(tell)
        done = os.read(told, 100).decode() or "0"
        os.close(told)
        print(os.waitstatus_to_exitcode(status), done, flush=True)


main()
