"""What is posted goes with an opinion of three answers, and what accuses with a second run."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oracle.errors import InferenceTooSlow, RunsDiffer, SecondOpinionDiffers, Unwatched
from oracle.exact.lowering.graph import lower
from oracle.exact.run import Runner
from oracle.inference import findings
from oracle.inference.answers import QUIET, Answers
from oracle.inference.engine import Appraise, Infer, Price, Pursue
from oracle.inference.executor import Executor as Real
from oracle.inference.executor import Job, Ran
from oracle.inference.files import ModelFiles
from oracle.types import Model
from tests import chains
from tests.silencers import INTS, SILENCERS, divide
from tests.unit.exact.files import file, node, tensor


@contextmanager
def answering(
    folder: Path, data: bytes, is_advised: bool = False, rounds: int | None = None
) -> Iterator[tuple[Answers, Model]]:
    """Answers about one model as it is published."""
    program = lower(data)
    files = ModelFiles(folder)
    files.add(data)
    model = replace(
        chains.model(chains.address("publisher")),
        program_root=program.root,
        file_hash=hashlib.sha256(data).digest(),
        signature=program.signature,
    )
    adviser = Real(processes=1, time_limit=4) if is_advised else None
    answers = Answers(files, Real(processes=1), adviser=adviser, rounds=rounds)
    try:
        yield answers, model
    finally:
        answers.close()


@pytest.mark.parametrize("silencer", SILENCERS)
def test_submit_answers_what_silences_onnxruntime(tmp_path: Path, silencer: str) -> None:
    data, payload = SILENCERS[silencer]
    with answering(tmp_path, data, is_advised=True) as (answers, model):
        assert answers._adviser is not None
        before = (*answers._executor.pids, *answers._adviser.pids)
        for _ in range(2):
            found = answers.submit(model, [], payload).result(60)
            assert found.data == Runner(lower(data)).infer(payload)
        after = (*answers._executor.pids, *answers._adviser.pids)
        # The process that runs the law lives on, whatever became of the other.
        assert before[0] == after[0]
        assert (before[1] == after[1]) == (silencer == "one that does not load")


@pytest.mark.parametrize("silencer", SILENCERS)
def test_ask_finds_a_lie_about_what_silences_onnxruntime(tmp_path: Path, silencer: str) -> None:
    data, payload = SILENCERS[silencer]
    lie = Runner(lower(data)).infer(payload)[:-1] + b"\x77"
    with answering(tmp_path, data) as (answers, model):
        finding = findings.read_finding(answers.ask(model, [], payload, Pursue(lie)).result(60))
    assert not finding.is_right and (finding.fraud or finding.question)


def test_submit_refuses_where_the_second_opinion_differs(tmp_path: Path) -> None:
    class Mistaken(Real):
        """It runs the law, and gets it wrong."""

        def run(self, job: Job, apart_from: int | None = None) -> Ran:
            ran = super().run(job, apart_from)
            wrong = np.array([4], INTS).tobytes()
            return replace(ran, data=wrong) if job.task == Infer() else ran

    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    with answering(tmp_path, data, is_advised=True) as (answers, model):
        answers._executor.close()
        answers._executor = Mistaken(processes=1)
        with pytest.raises(SecondOpinionDiffers, match="4 by the law, 3 by onnxruntime"):
            answers.submit(model, [], payload).result(60)


class Unsound(Real):
    """Its first process runs the law; any other does not."""

    def run(self, job: Job, apart_from: int | None = None) -> Ran:
        ran = super().run(job, apart_from)
        return ran if apart_from is None else replace(ran, data=bytes(len(ran.data)))


def test_ask_accuses_nobody_where_two_processes_differ(tmp_path: Path) -> None:
    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    with answering(tmp_path, data) as (answers, model):
        answers._executor.close()
        answers._executor = Unsound(processes=1)
        right = answers.ask(model, [], payload, Pursue(np.array([3], INTS).tobytes()))
        assert findings.read_finding(right.result(60)).is_right
        wrong = answers.ask(model, [], payload, Pursue(np.array([5], INTS).tobytes()))
        with pytest.raises(RunsDiffer, match="two processes"):
            wrong.result(60)


# What nobody could be convicted of


def test_submit_declines_what_nobody_could_be_convicted_of(tmp_path: Path) -> None:
    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    with answering(tmp_path, data, is_advised=True, rounds=1) as (answers, model):
        with pytest.raises(Unwatched, match="take 2 demands to prove.* leave room for 1"):
            answers.submit(model, [], payload).result(60)
        # The dispute goes as far as it can, and says so.
        lie = answers.ask(model, [], payload, Pursue(np.array([5], INTS).tobytes()))
        finding = findings.read_finding(lie.result(60))
        assert "leave room for 1" in finding.unwatched and finding.fraud is not None


def test_submit_declines_an_element_without_a_fitting_proof(tmp_path: Path) -> None:
    data = file([node("ReduceSum", ["x"], ["y"])], [tensor("x", [1, 60_000])], ["y"])
    with answering(tmp_path, data, is_advised=True, rounds=9) as (answers, model):
        with pytest.raises(Unwatched, match=r"to prove an element of node \d+ wrong may take"):
            answers.submit(model, [], bytes(240_000)).result(60)
        right = answers.ask(model, [], bytes(240_000), Pursue(bytes(4)))
        finding = findings.read_finding(right.result(60))
        assert finding.is_right and "to prove an element" in finding.unwatched


class Stalled(Real):
    """No appraisal ever ends."""

    appraisals = 0

    def run(self, job: Job, apart_from: int | None = None) -> Ran:
        if isinstance(job.task, Appraise):
            self.appraisals += 1
            raise InferenceTooSlow("took more than 60 s")
        return super().run(job, apart_from)


def test_an_appraisal_that_fails_is_not_tried_for_each_request(tmp_path: Path) -> None:
    """It takes an inference's place for as long as any may take."""
    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    now = [0.0]
    with answering(tmp_path, data, is_advised=True, rounds=9) as (answers, model):
        answers._executor.close()
        answers._executor = stalled = Stalled(processes=1)
        answers._clock = lambda: now[0]
        for appraisals in (1, 1, 2):
            with pytest.raises(Unwatched, match="could not be found out"):
                answers.submit(model, [], payload).result(60)
            assert stalled.appraisals == appraisals
            now[0] += QUIET - 1


def test_a_price_is_not_to_be_had_at_a_glance_where_the_appraisal_is_not(tmp_path: Path) -> None:
    """The first run waits for that too."""
    with answering(tmp_path, divide(), is_advised=True, rounds=9) as (answers, model):
        assert answers.ask(model, [], b"", Price(most=60)).result(60)
        answers._executor.close()
        answers._executor = Stalled(processes=1)
        assert answers.ask(model, [], b"", Price(most=2)).result(60)  # it was appraised before
        answers._flaws.clear()
        with pytest.raises(InferenceTooSlow):
            answers.ask(model, [], b"", Price(most=2)).result(60)
        assert answers.ask(model, [], b"", Price()).result(60)


def test_flaws_are_of_an_id_and_not_of_its_program(tmp_path: Path) -> None:
    """A stranger may publish another's program under names so long that no proof fits beside them;
    or, before a lie about such a model, under short ones."""
    data = file([node("Neg", ["x"], ["y"])], [tensor("x", [15_000])], ["y"])
    with answering(tmp_path, data, is_advised=True, rounds=9) as (answers, model):
        [x] = model.signature.inputs
        signature = replace(model.signature, inputs=(replace(x, name="x" * 15_000),))
        long = replace(model, signature=signature)
        for _ in range(2):
            with pytest.raises(Unwatched, match="bytes of"):
                answers.submit(long, [], bytes(60_000)).result(60)
            assert answers.submit(model, [], bytes(60_000)).result(60).data == bytes(60_000)
