"""What is posted goes with an opinion of three answers, and what accuses with a second run."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle import serialization
from oracle.errors import (
    InferenceFailed,
    InferenceTooSlow,
    NotAppraised,
    RunsDiffer,
    SecondOpinionDiffers,
    Unwatched,
)
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack
from oracle.exact.run import Runner
from oracle.inference import findings
from oracle.inference.engine import Advise, Appraise, Infer, Price, Pursue, Sample, Several, Task
from oracle.inference.executor import Executor as Real
from oracle.inference.executor import Job, Ran
from oracle.inference.findings import Finding
from oracle.inference.opinions import (
    ADVISER_PATIENCE,
    ADVISER_TIMES,
    QUIET,
    SAMPLE_PATIENCE,
    SAMPLE_TIMES,
    Opinions,
)
from oracle.types import Assurance, Model
from tests import chains
from tests.silencers import INTS, SILENCERS, divide
from tests.unit.exact.files import file, leaning, node, tensor


@dataclass(frozen=True)
class Case:
    """A model as it is published, and opinions about its results."""

    opinions: Opinions
    path: Path
    source: Path
    model: Model

    def run(self, payload: bytes, task: Task, model: Model | None = None) -> bytes:
        return self.ran(payload, task, model).data

    def ran(self, payload: bytes, task: Task, model: Model | None = None) -> Ran:
        return self.opinions.run(self.path, model or self.model, payload, task, self.source)

    def find(self, payload: bytes, claimed: bytes) -> Finding:
        return findings.read_finding(self.run(payload, Pursue(claimed)))


@contextmanager
def deciding(
    folder: Path,
    data: bytes,
    executor: Real | None = None,
    adviser: Real | None = None,
    **options: Any,
) -> Iterator[Case]:
    program = lower(data)
    path, source = folder / "model.safetensors", folder / "model.onnx"
    path.write_bytes(pack(program))
    source.write_bytes(data)
    model = replace(
        chains.model(chains.address("publisher")),
        program_root=program.root,
        source_hash=hashlib.sha256(data).digest(),
        signature=program.signature,
    )
    opinions = Opinions(executor or Real(processes=1), adviser, **options)
    try:
        yield Case(opinions, path, source, model)
    finally:
        opinions.close()


def advising() -> Real:
    return Real(processes=1, time_limit=4)


@pytest.mark.parametrize("silencer", SILENCERS)
def test_run_answers_what_silences_onnxruntime(tmp_path: Path, silencer: str) -> None:
    data, payload = SILENCERS[silencer]
    executor, adviser = Real(processes=1), advising()
    with deciding(tmp_path, data, executor, adviser) as case:
        before = (*executor.pids, *adviser.pids)
        for _ in range(2):
            assert case.run(payload, Infer()) == Runner(lower(data)).infer(payload)
        after = (*executor.pids, *adviser.pids)
        # The process that runs the law lives on, whatever became of the other.
        assert before[0] == after[0]
        assert (before[1] == after[1]) == (silencer == "one that does not load")


@pytest.mark.parametrize("silencer", SILENCERS)
def test_run_finds_a_lie_about_what_silences_onnxruntime(tmp_path: Path, silencer: str) -> None:
    data, payload = SILENCERS[silencer]
    lie = Runner(lower(data)).infer(payload)[:-1] + b"\x77"
    with deciding(tmp_path, data) as case:
        finding = case.find(payload, lie)
    assert not finding.is_right and (finding.fraud or finding.question)


def test_run_refuses_where_the_second_opinion_differs(tmp_path: Path) -> None:
    class Mistaken(Real):
        """It runs the law, and gets it wrong."""

        def run(self, job: Job, apart_from: int | None = None) -> Ran:
            ran = super().run(job, apart_from)
            wrong = np.array([4], INTS).tobytes()
            return replace(ran, data=wrong) if job.task == Infer() else ran

    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    with (
        deciding(tmp_path, data, Mistaken(processes=1), advising()) as case,
        pytest.raises(SecondOpinionDiffers, match="4 by the law, 3 by onnxruntime"),
    ):
        case.run(payload, Infer())


class Unsound(Real):
    """Its first process runs the law; any other does not."""

    def run(self, job: Job, apart_from: int | None = None) -> Ran:
        ran = super().run(job, apart_from)
        return ran if apart_from is None else replace(ran, data=bytes(len(ran.data)))


def test_run_accuses_nobody_where_two_processes_differ(tmp_path: Path) -> None:
    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    with deciding(tmp_path, data, Unsound(processes=1)) as case:
        assert case.find(payload, np.array([3], INTS).tobytes()).is_right
        with pytest.raises(RunsDiffer, match="two processes"):
            case.find(payload, np.array([5], INTS).tobytes())


class Noting(Real):
    """Keeps what it was asked."""

    def __init__(self, **options: Any):
        super().__init__(processes=1, **options)
        self.asked: list[Task] = []

    def run(self, job: Job, apart_from: int | None = None) -> Ran:
        self.asked.append(job.task)
        return super().run(job, apart_from)


def test_what_confirms_a_run_gets_a_time_that_goes_by_the_run(tmp_path: Path) -> None:
    """It holds a slot, and a stranger made the model: a light run may have no heavy second one."""
    data, payload = SILENCERS["one that does not load"]
    executor, adviser = Noting(), Noting()
    with deciding(tmp_path, data, executor, adviser) as case:
        ran = case.ran(payload, Infer())

    [advise] = adviser.asked
    [_, sample] = executor.asked
    assert isinstance(advise, Advise) and isinstance(sample, Sample)
    assert advise.most == ADVISER_PATIENCE + ADVISER_TIMES * ran.seconds
    assert sample.most == sample.patience == SAMPLE_PATIENCE + SAMPLE_TIMES * ran.seconds
    assert ran.held > ran.seconds


# What nobody could be convicted of


def test_run_declines_what_nobody_could_be_convicted_of(tmp_path: Path) -> None:
    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    with deciding(tmp_path, data, adviser=advising(), rounds=1) as case:
        with pytest.raises(Unwatched, match="take 2 demands to prove.* leave room for 1"):
            case.run(payload, Infer())
        # The dispute goes as far as it can, and says so.
        finding = case.find(payload, np.array([5], INTS).tobytes())
        assert "leave room for 1" in finding.unwatched and finding.fraud is not None


def test_run_declines_an_element_without_a_fitting_proof(tmp_path: Path) -> None:
    data = file([leaning(400)], [tensor("x", [1, 1])], ["y"])
    with deciding(tmp_path, data, adviser=advising(), rounds=9) as case:
        with pytest.raises(Unwatched, match=r"to prove an element of node \d+ wrong may take"):
            case.run(bytes(4), Infer())
        finding = case.find(bytes(4), np.ones(1, ">f4").tobytes())
        assert finding.is_right and "to prove an element" in finding.unwatched


class Stalled(Real):
    """No appraisal ends, from some time on."""

    appraisals = 0
    is_stalled = True

    def run(self, job: Job, apart_from: int | None = None) -> Ran:
        if isinstance(job.task, Appraise) and self.is_stalled:
            self.appraisals += 1
            raise InferenceTooSlow("took more than 60 s")
        return super().run(job, apart_from)


def test_an_appraisal_that_fails_is_not_tried_for_each_request(tmp_path: Path) -> None:
    """It takes an inference's place for as long as any may take."""
    data, payload = divide(), np.array([7, 2], INTS).tobytes()
    now, stalled = [0.0], Stalled(processes=1)
    options: dict[str, Any] = {"adviser": advising(), "rounds": 9, "clock": lambda: now[0]}
    with deciding(tmp_path, data, stalled, **options) as case:
        for appraisals in (1, 1, 2):
            with pytest.raises(NotAppraised, match="could not be found out"):
                case.run(payload, Infer())
            assert stalled.appraisals == appraisals
            now[0] += QUIET - 1


def test_a_price_is_not_to_be_had_at_a_glance_where_the_appraisal_is_not(tmp_path: Path) -> None:
    """The first run waits for that too."""
    executor = Stalled(processes=1)
    executor.is_stalled = False
    with deciding(tmp_path, divide(), executor, rounds=9) as case:
        assert case.run(b"", Price(most=60))
        executor.is_stalled = True
        assert case.run(b"", Price(most=2))  # it was appraised before
        renamed = replace(case.model, name="another")  # and this one was not
        with pytest.raises(InferenceTooSlow):
            case.run(b"", Price(most=2), renamed)
        assert case.run(b"", Price(), renamed)


def test_flaws_are_of_an_id_and_not_of_its_program(tmp_path: Path) -> None:
    """A stranger may publish another's program under names so long that no proof fits beside them;
    or, before a lie about such a model, under short ones."""
    data = file([node("ReduceSum", ["x"], ["y"])], [tensor("x", [1, 20_000])], ["y"])
    with deciding(tmp_path, data, adviser=advising(), rounds=9) as case:
        signature = case.model.signature
        [x] = signature.inputs
        signature = replace(signature, inputs=(replace(x, name="x" * 60_000),))
        long = replace(case.model, signature=signature)
        for _ in range(2):
            with pytest.raises(Unwatched, match="bytes of"):
                case.run(bytes(80_000), Infer(), long)
            assert case.run(bytes(80_000), Infer()) == bytes(4)


# Brief runs, several at once.


def pair(one: int, other: int) -> bytes:
    return np.array([one, other], INTS).tobytes()


PAIRS = [pair(7, 2), pair(9, 3), pair(-7, 2), pair(2**31 - 1, 1)]


@contextmanager
def several(
    folder: Path,
    data: bytes = divide(),
    executor: Real | None = None,
    adviser: Real | None = None,
) -> Iterator[Case]:
    with deciding(folder, data, executor, adviser or advising()) as case:
        yield case


def ran_all(
    case: Case, payloads: Sequence[bytes], source: Path | None = None, most: float = inf
) -> list[bytes | None]:
    found = case.opinions.run_all(
        case.path, case.model, payloads, most, case.source if source is None else source
    )
    return [None if each is None else each.data for each in found]


@pytest.mark.parametrize("has_source", [True, False])
def test_run_all_gives_what_single_runs_give(tmp_path: Path, has_source: bool) -> None:
    with several(tmp_path) as case:
        source = case.source if has_source else None
        found = case.opinions.run_all(case.path, case.model, PAIRS, inf, source)
        singles = [case.run(each, Infer()) for each in PAIRS]

    assert [each and each.data for each in found] == singles
    assert all(each and 0 <= each.seconds <= each.held for each in found)


def test_run_all_gives_what_single_runs_give_of_a_vanilla_model(tmp_path: Path) -> None:
    data = file([node("Tanh", ["x"], ["y"])], [tensor("x", [1, 2])], ["y"])
    with several(tmp_path, data) as case:
        model = replace(
            case.model,
            assurance=Assurance.VANILLA,
            program_root=bytes(32),
            source_hash=hashlib.sha256(data).digest(),
        )
        vanilla = replace(case, path=case.source, model=model)
        payloads = [np.array(each, ">f4").tobytes() for each in ([1, 2], [3, 4])]

        found = ran_all(vanilla, payloads)

        assert found == [vanilla.run(each, Infer()) for each in payloads]


def test_run_all_loses_one_that_is_bad_and_no_other(tmp_path: Path) -> None:
    with several(tmp_path) as case:
        found = ran_all(case, [PAIRS[0], b"", PAIRS[1], bytes(999)])

    assert found == [np.array([3], INTS).tobytes(), None, np.array([3], INTS).tobytes(), None]


def test_run_all_gives_nothing_where_the_second_opinion_differs(tmp_path: Path) -> None:
    class Mistaken(Real):
        """It runs the law, and gets one of several wrong."""

        def run(self, job: Job, apart_from: int | None = None) -> Ran:
            ran = super().run(job, apart_from)
            if not isinstance(job.task, Several) or not isinstance(job.task.each[0][0], Infer):
                return ran
            answers = list(serialization.load(ran.data, tuple[bytes | None, ...]))
            answers[1] = np.array([4], INTS).tobytes()
            return replace(ran, data=serialization.dump(answers))

    with several(tmp_path, executor=Mistaken(processes=1)) as case:
        advised = ran_all(case, PAIRS)
        case.opinions._let_rest(case.model.source)
        sampled = ran_all(case, PAIRS)
        singles = [case.run(each, Infer()) for each in PAIRS]

    assert advised == sampled == [singles[0], None, *singles[2:]]


def test_run_all_fails_where_a_child_dies_and_each_is_run_alone_then(tmp_path: Path) -> None:
    """onnxruntime does not survive the third; the law does."""
    killer = SILENCERS["one that kills"][1]
    payloads = [*PAIRS[:2], killer, *PAIRS[2:]]
    with several(tmp_path) as case:
        with pytest.raises(InferenceFailed):
            ran_all(case, payloads)
        singles = [case.run(each, Infer()) for each in payloads]
        # It has no second opinion any more, and a sample by the plain rules stands in.
        again = ran_all(case, payloads)

    assert again == singles == [Runner(lower(divide())).infer(each) for each in payloads]


@pytest.mark.parametrize(
    "lie",
    [b"", b"{}", b"null", b"[]", b"[null]", b"[1, 2]", b'["!", null]', b"[null, null, null]"],
    ids=bytes.decode,
)
def test_run_all_fails_where_a_child_gives_no_such_answers(tmp_path: Path, lie: bytes) -> None:
    class Lying(Real):
        def run(self, *_: object, **__: object) -> Ran:
            return Ran(lie, 0.0)

    with (
        several(tmp_path, executor=Lying(processes=1)) as case,
        pytest.raises(InferenceFailed, match="cannot be read"),
    ):
        ran_all(case, PAIRS[:2])


def test_run_all_takes_no_answer_of_another_length(tmp_path: Path) -> None:
    class Lying(Real):
        def run(self, job: Job, apart_from: int | None = None) -> Ran:
            ran = super().run(job, apart_from)
            answers = list(serialization.load(ran.data, tuple[bytes | None, ...]))
            return replace(ran, data=serialization.dump([answers[0], bytes(5)]))

    class Easy(Real):
        def run(self, job: Job, *_: object, **__: object) -> Ran:
            assert isinstance(job.task, Several)
            return Ran(serialization.dump([b""] * len(job.task.each)), 0.0)

    with several(tmp_path, executor=Lying(processes=1), adviser=Easy(processes=1)) as case:
        assert ran_all(case, PAIRS[:2]) == [np.array([3], INTS).tobytes(), None]


def test_run_all_stops_what_takes_too_long(tmp_path: Path) -> None:
    with several(tmp_path) as case, pytest.raises(InferenceTooSlow):
        ran_all(case, PAIRS, most=0.0)


def test_run_all_declines_what_nobody_could_be_convicted_of(tmp_path: Path) -> None:
    with (
        deciding(tmp_path, divide(), adviser=advising(), rounds=1) as case,
        pytest.raises(Unwatched, match="leave room for 1"),
    ):
        ran_all(case, PAIRS)
