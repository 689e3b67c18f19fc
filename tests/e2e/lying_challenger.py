"""`exactum challenger` that believes a false trace of its own, and so accuses the honest.

python lying_challenger.py '{"node": 2, "element": 0}' --key challenger …
"""

import json
import sys
from collections.abc import Sequence

from oracle.cli import daemon
from oracle.cli.main import main
from oracle.inference.answers import Answers
from oracle.inference.engine import Exact, Pursue, Task, load_engine
from oracle.types import Model
from tests.liars import Lie, accuse


class Accusations(Answers):
    lie: Lie

    def _answer(self, model: Model, uris: Sequence[str], payload: bytes, task: Task) -> bytes:
        engine = load_engine(self._files.fetch(model.file_hash, uris).read_bytes(), model)
        assert isinstance(engine, Exact) and isinstance(task, Pursue)
        return accuse(engine.runner, payload, self.lie, task)


if __name__ == "__main__":
    Accusations.lie = Lie(**json.loads(sys.argv[1]))
    daemon.Answers = Accusations  # type: ignore[misc]
    main(["challenger", *sys.argv[2:]])
