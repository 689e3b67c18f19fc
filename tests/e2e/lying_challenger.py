"""`exactum challenger` that believes a false trace of its own, and so accuses the honest.

python lying_challenger.py '{"node": 2, "element": 0}' --key challenger …
"""

import json
import sys
from pathlib import Path

from oracle.cli import daemon
from oracle.cli.main import main
from oracle.inference.answers import Answers
from oracle.inference.engine import Exact, Pursue, Task, load_engine
from oracle.inference.executor import Ran
from oracle.types import Model
from tests.liars import Lie, accuse


class Accusations(Answers):
    lie: Lie

    def _done(self, path: Path, model: Model, payload: bytes, task: Task) -> Ran:
        engine = load_engine(path.read_bytes(), model)
        assert isinstance(engine, Exact) and isinstance(task, Pursue)
        return Ran(accuse(engine.runner, payload, self.lie, task), 0.0)


if __name__ == "__main__":
    Accusations.lie = Lie(**json.loads(sys.argv[1]))
    daemon.Answers = Accusations  # type: ignore[misc]
    main(["challenger", *sys.argv[2:]])
