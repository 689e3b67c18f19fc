"""A worker that runs something else than the model: it answers demands from its own false trace.

    python lying_worker.py '{"node": 3, "element": 0}' operator

`node` null: the output alone is wrong. `silent`: it answers no demand.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event

from oracle.cli.daemon import configure_logs
from oracle.cli.demo.liar import answer
from oracle.cli.files import model_files
from oracle.cli.session import open_key, open_session
from oracle.cli.worker import set_up
from oracle.errors import InferenceFailed
from oracle.inference.answers import Answers
from oracle.inference.engine import Exact, Infer, Open, Task, load_engine
from oracle.inference.executor import Ran
from oracle.state.store import Store
from oracle.types import Model
from oracle.worker.policy import Policy
from oracle.worker.service import Service
from tests.liars import Lie, lying_trace

POLL = 0.2  # seconds


class Lies:
    def __init__(self, silent: bool = False, **lie: int | None):
        self.is_silent = silent
        self.lie = Lie(**lie)  # type: ignore[arg-type]

    def run(
        self, path: Path, model: Model, payload: bytes, task: Task, _source: Path | None
    ) -> Ran:
        engine = load_engine(path, model)
        assert isinstance(engine, Exact)
        if self.is_silent and isinstance(task, Open):
            raise InferenceFailed("It would rather not say.")
        trace, output = lying_trace(engine.runner, payload, self.lie)
        return Ran(answer(trace, output, task), 0.0)

    def run_all(
        self,
        path: Path,
        model: Model,
        payloads: Sequence[bytes],
        _most: float,
        source: Path | None,
    ) -> list[Ran | None]:
        return [self.run(path, model, payload, Infer(), source) for payload in payloads]

    def close(self) -> None: ...


def main(lie: str, key: str) -> None:
    configure_logs(as_json=True)
    session, signer = open_session((), None), open_key(key, None)
    home = session.settings.home
    store = Store(
        f"sqlite:///{home}/liar.db", session.chain.id, session.deployment.queue, signer.address
    )
    with closing(Answers(model_files(session.settings), Lies(**json.loads(lie)))) as answers:
        setup = set_up(
            session,
            view=session.view(),
            store=store,
            inference=answers,
            policy=Policy(signer.address),
            signer=signer,
        )
        # It has no other results to defend, and answers each demand at once.
        Service(replace(setup, reveal_period=None)).run(Event(), POLL)


if __name__ == "__main__":
    main(*sys.argv[1:])
