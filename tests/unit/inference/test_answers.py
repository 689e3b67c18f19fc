from pathlib import Path
from threading import Event

from oracle.inference.answers import Answers
from oracle.inference.engine import Infer, Open
from oracle.inference.executor import Job, Ran
from oracle.types import Part
from tests import chains

PART = Part(0, 0, 0, 1)


class Files:
    """Of a publisher whose server takes its time."""

    def __init__(self) -> None:
        self.has_come = Event()

    def fetch(self, _file_hash: bytes, uris: tuple[str, ...]) -> Path:
        if uris:
            self.has_come.wait(1800)
        return Path("model.onnx")


class Executor:
    def run(self, job: Job) -> Ran:
        return Ran(b"output" if isinstance(job.task, Infer) else b"part", 0.5)

    def close(self) -> None: ...


def test_ask_lets_no_dispute_wait_for_a_strangers_server():
    files = Files()
    answers = Answers(files, Executor(), parallel=1)  # type: ignore[arg-type]
    model = chains.model(chains.address("publisher"))

    slow = answers.submit(model, ["https://slow"], b"")
    assert answers.ask(model, [], b"", Open((PART,))).result(900) == b"part"

    assert not slow.done()
    files.has_come.set()
    assert slow.result(900) == Ran(b"output", 0.5)
    answers.close()
