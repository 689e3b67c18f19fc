"""A challenger that believes a false trace of its own, and so accuses the honest.

python lying_challenger.py '{"node": 2, "element": 0}' challenger
"""

import json
import sys
from contextlib import closing
from pathlib import Path
from threading import Event

from oracle.challenger.patrol import Patrol
from oracle.challenger.policy import Policy
from oracle.cli.challenger import set_up
from oracle.cli.daemon import configure_logs
from oracle.cli.files import model_files
from oracle.cli.session import open_key, open_session
from oracle.inference.answers import Answers
from oracle.inference.engine import Exact, Pursue, Task, load_engine
from oracle.inference.executor import Ran
from oracle.state.store import Store
from oracle.types import Model
from tests.liars import Lie, accuse

POLL = 0.2  # seconds


class Accusations:
    def __init__(self, lie: Lie):
        self.lie = lie

    def run(
        self, path: Path, model: Model, payload: bytes, task: Task, _source: Path | None
    ) -> Ran:
        engine = load_engine(path, model)
        assert isinstance(engine, Exact) and isinstance(task, Pursue)
        return Ran(accuse(engine.runner, payload, self.lie, task), 0.0)

    def run_all(self, *_: object) -> list[Ran | None]:
        raise AssertionError("a challenger is asked for no outputs")

    def close(self) -> None: ...


def main(lie: str, key: str) -> None:
    configure_logs(as_json=True)
    session, signer = open_session((), None), open_key(key, None)
    home = session.settings.home
    store = Store(
        f"sqlite:///{home}/accuser.db", session.chain.id, session.deployment.queue, signer.address
    )
    accusations = Accusations(Lie(**json.loads(lie)))
    with closing(Answers(model_files(session.settings), accusations)) as answers:
        setup = set_up(
            session,
            view=session.view(),
            store=store,
            inference=answers,
            policy=Policy(signer.address, even_at_a_loss=True),
            signer=signer,
        )
        Patrol(setup).run(Event(), POLL)


if __name__ == "__main__":
    main(*sys.argv[1:])
