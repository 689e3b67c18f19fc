"""`exactum worker` with a tampered result: it answers demands from its own false trace.

    python lying_worker.py '{"node": 3, "element": 0}' --key operator …

`node` null: the output alone is wrong. `silent`: it answers no demand. `honest` models by their
file's hash in hexadecimal are left alone.
"""

import json
import sys
from pathlib import Path

from oracle.cli import daemon
from oracle.cli.demo.liar import answer
from oracle.cli.main import main
from oracle.errors import InferenceFailed
from oracle.inference.answers import Answers
from oracle.inference.engine import Exact, Open, Price, Task, load_engine
from oracle.inference.executor import Ran
from oracle.types import Model
from oracle.worker.budget import Budget
from tests.liars import Lie, lying_trace


class Lies(Answers):
    lie: Lie
    is_silent = False

    def _done(self, path: Path, model: Model, payload: bytes, task: Task) -> Ran:
        engine = load_engine(path.read_bytes(), model)
        assert isinstance(engine, Exact)
        if isinstance(task, Price):
            return Ran(engine.do(task, payload), 0.0)
        trace, output = lying_trace(engine.runner, payload, self.lie)
        if self.is_silent and isinstance(task, Open):
            raise InferenceFailed("It would rather not say.")
        return Ran(answer(trace, output, task), 0.0)


if __name__ == "__main__":
    fields = json.loads(sys.argv[1])
    Lies.is_silent = fields.pop("silent", False)
    Lies.lie = Lie(**fields)
    daemon.Answers = Lies  # type: ignore[misc]
    Budget.pause = 0.0  # type: ignore[assignment, misc]  # a liar has no other results to defend
    main(["worker", *sys.argv[2:]])
