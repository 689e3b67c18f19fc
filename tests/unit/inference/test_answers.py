import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import pytest

from oracle.errors import ModelUnavailable
from oracle.inference.answers import Answers
from oracle.inference.engine import Infer, Open, Task
from oracle.inference.executor import Ran
from oracle.inference.fetches import Fetches
from oracle.inference.files import ModelFiles
from oracle.types import Address, Assurance, Model, Part
from tests import chains
from tests.networks import network

PART = Part(0, 0, 0, 1)
FILE = b"a model's bytes"


class Runs:
    """That its file is there while it runs is all it asks of a model."""

    def run(
        self, path: Path, _model: Model, _payload: bytes, task: Task, source: Path | None
    ) -> Ran:
        assert source is None  # nobody put one here
        assert path.read_bytes() == FILE
        return Ran(b"output" if isinstance(task, Infer) else b"part", 0.5)

    def run_all(self, path, model, payloads, _most, source):
        return [self.run(path, model, payload, Infer(), source) for payload in payloads]

    def close(self) -> None: ...


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes any number of connections and says nothing on any."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def model(number: int, publisher: str = "publisher") -> Model:
    return vanilla(chains.address(publisher), bytes([number]) * 32)


def vanilla(publisher: Address, source_hash: bytes) -> Model:
    """A model whose file may be any bytes."""
    return chains.model(
        publisher, source_hash=source_hash, program_root=bytes(32), assurance=Assurance.VANILLA
    )


def good(files: ModelFiles) -> Model:
    return vanilla(chains.address("requester"), files.add(FILE).digest)


def patient(folder: Path) -> ModelFiles:
    return ModelFiles(folder, allow_local=True, patience=1800, timeout=1800)


@contextmanager
def answering(files: ModelFiles) -> Iterator[Answers]:
    answers = Answers(files, Runs(), parallel=1)
    try:
        yield answers
    finally:
        answers.close()


def until_ready(answers: Answers | Fetches, wanted: Model, *uris: str) -> None:
    while not answers.ready(wanted, lambda: uris):
        sleep(0.01)


@pytest.mark.enable_socket
def test_models_on_servers_that_never_answer_keep_no_other_answer_waiting(tmp_path):
    """Each of them would hold the one place that there is."""
    files = patient(tmp_path)
    other = good(files)
    with silent_server() as url, answering(files) as answers:
        for number in range(6):
            assert not answers.ready(model(number), lambda: [url])
            assert "is being fetched" in str(
                answers.submit(model(number), [url], b"").exception(900)
            )
        assert answers.ready(other, list)
        assert answers.submit(other, [], b"").result(900) == Ran(b"output", 0.5)
        assert not any(answers.ready(model(number), lambda: [url]) for number in range(6))


@pytest.mark.enable_socket
def test_a_file_that_must_be_fetched_does_not_wait_for_servers_that_never_answer(tmp_path):
    source = tmp_path / "m.onnx"
    source.write_bytes(FILE)
    other = good(ModelFiles(tmp_path / "another"))
    with silent_server() as url, answering(patient(tmp_path / "cache")) as answers:
        for number in range(40):
            answers.ready(model(number), lambda: [url])
        until_ready(answers, other, source.as_uri())
        assert answers.submit(other, [], b"").result(900) == Ran(b"output", 0.5)
        assert not answers.ready(model(0), lambda: [url])


@pytest.mark.enable_socket
def test_a_disputes_file_waits_for_no_strangers_server(tmp_path):
    source = tmp_path / "m.onnx"
    source.write_bytes(FILE)
    other = good(ModelFiles(tmp_path / "another"))
    with silent_server() as url, answering(patient(tmp_path / "cache")) as answers:
        for number in range(40):  # as many publishers as there are places
            by = chains.address("publisher").replace("0x", f"0x{number:02x}")[:42]
            answers.ready(vanilla(Address(by), bytes([number]) * 32), lambda: [url])
        assert not answers.ready(other, lambda: [source.as_uri()])
        while not answers.ready(other, lambda: [source.as_uri()], is_urgent=True):
            sleep(0.01)
        assert answers.ask(other, [], b"", Open((PART,))).result(900) == b"part"


@pytest.mark.enable_socket
def test_a_file_waits_for_nobody_who_publishes_it_too(tmp_path):
    """A stranger's model of the same file, on a server that never answers, would keep everybody
    from running the other's; one without any URI would say of it that it cannot be had."""
    source = tmp_path / "m.onnx"
    source.write_bytes(FILE)
    wanted = good(ModelFiles(tmp_path / "another"))
    silent = vanilla(chains.address("operator"), wanted.source_hash)
    missing = vanilla(chains.address("challenger"), wanted.source_hash)
    with silent_server() as url, answering(patient(tmp_path / "cache")) as answers:
        assert not answers.ready(silent, lambda: [url])
        until_ready(answers, missing)
        assert isinstance(answers.submit(missing, [], b"").exception(900), ModelUnavailable)
        until_ready(answers, wanted, source.as_uri())
        assert answers.submit(wanted, [], b"").result(900) == Ran(b"output", 0.5)


@pytest.mark.enable_socket
def test_ask_lets_no_dispute_wait_for_an_inference(tmp_path):
    may_end = threading.Event()

    class Slow(Runs):
        def run(
            self, path: Path, model: Model, payload: bytes, task: Task, source: Path | None
        ) -> Ran:
            if isinstance(task, Infer):
                may_end.wait(1800)
            return super().run(path, model, payload, task, source)

    files = ModelFiles(tmp_path)
    known = good(files)
    answers = Answers(files, Slow(), parallel=1)
    slow = answers.submit(known, [], b"")
    assert answers.ask(known, [], b"", Open((PART,))).result(900) == b"part"
    assert not slow.done()
    may_end.set()
    assert slow.result(900) == Ran(b"output", 0.5)
    answers.close()


def test_submit_says_why_a_file_could_not_be_had(tmp_path):
    with answering(ModelFiles(tmp_path)) as answers:
        until_ready(answers, model(1), "gopher://x")
        error = answers.submit(model(1), ["gopher://x"], b"").exception(900)
    assert isinstance(error, ModelUnavailable) and "the protocol 'gopher'" in str(error)


def test_submit_runs_a_file_that_came_after_its_fetch_had_failed(tmp_path):
    files = ModelFiles(tmp_path)
    other = good(ModelFiles(tmp_path / "another"))
    with answering(files) as answers:
        until_ready(answers, other, "gopher://x")
        files.add(FILE)
        assert answers.submit(other, [], b"").result(900) == Ran(b"output", 0.5)


def test_no_file_is_evicted_while_a_model_runs(tmp_path):
    """Held by the one that runs it, in this process or another."""
    files = ModelFiles(tmp_path)
    evicted: list[bool] = []

    class Evicting(Runs):
        def run(
            self, path: Path, model: Model, payload: bytes, task: Task, source: Path | None
        ) -> Ran:
            from oracle.inference.cache import _evict

            evicted.append(_evict(path))
            return super().run(path, model, payload, task, source)

    answers = Answers(files, Evicting(), parallel=1)
    assert answers.submit(good(files), [], b"").result(900) == Ran(b"output", 0.5)
    assert evicted == [False]
    answers.close()


@pytest.mark.enable_socket
def test_one_publisher_takes_no_more_than_its_share_of_fetches(tmp_path):
    source = tmp_path / "m.onnx"
    source.write_bytes(FILE)
    other = good(ModelFiles(tmp_path / "another"))
    with silent_server() as url:
        fetches = Fetches(patient(tmp_path / "cache"), parallel=3, share=2)
        for number in range(6):
            assert not fetches.ready(model(number), lambda: [url])
        until_ready(fetches, other, source.as_uri())
        fetches.close()


def test_a_run_has_the_source_where_somebody_put_it_here(tmp_path):
    """It is not what certifies a model, so nobody fetches it; onnxruntime runs it."""
    files = ModelFiles(tmp_path)
    seen: list[Path | None] = []

    class Seeing:
        def run(
            self, path: Path, _model: Model, _payload: bytes, _task: Task, source: Path | None
        ) -> Ran:
            seen.append(source)
            return Ran(path.read_bytes(), 0.0)

        def close(self) -> None: ...

    net = network()
    exact = chains.model(chains.address("publisher"), **net.terms)
    files.add(net.file)
    answers = Answers(files, Seeing())
    for _ in range(2):
        assert answers.submit(exact, [], b"").result(900).data == net.file
        files.add(net.onnx)
    answers.close()
    assert seen[0] is None and seen[1] is not None and seen[1].read_bytes() == net.onnx
