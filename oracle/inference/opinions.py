"""Whose word a result is taken on: that of more than one process, for what is posted or accuses.

A result of our own goes with a second opinion, a wrong one of another's with a second run.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from threading import Lock

import structlog

from oracle import serialization
from oracle.chain.codec import model_preimage
from oracle.errors import (
    InferenceFailed,
    InferenceTooSlow,
    NotAppraised,
    OracleError,
    SecondOpinionDiffers,
    Unwatched,
)
from oracle.inference import findings
from oracle.inference.engine import (
    Advise,
    Appraise,
    Infer,
    Price,
    Pursue,
    Sample,
    Several,
    Task,
)
from oracle.inference.executor import Executor, Job, Ran
from oracle.inference.findings import Finding
from oracle.serialization import Unreadable
from oracle.types import Assurance, FileName, Model

log = structlog.get_logger()

# Seconds that a run's confirmation gets, and as often what the run took. Whoever publishes a model
# on which onnxruntime stalls, or of more nodes than steps, must not hold an inference's place for
# long. onnxruntime takes less than the law, but for what it does to a model before; a sample takes
# the time of an unfused run, and some of the plain rules.
ADVISER_PATIENCE, ADVISER_TIMES = 10.0, 10.0
SAMPLE_PATIENCE, SAMPLE_TIMES = 60.0, 20.0
QUIET = 600.0  # seconds for which what failed with a model is not tried again
MOST_KEPT = 1024  # models of which something is remembered


class Opinions:
    """Runs models in child processes, so a bad one costs the child.

    With an `adviser`, which runs onnxruntime in processes of its own, every exact output is held
    against its opinion, where the model's source is here. Where it has none (it cannot load the
    model, died of it, was too slow), a sample by the plain rules stands in: nobody may keep us from
    answering by what kills it.

    With `rounds`, the demands that fit one after another, each model is appraised: a result of one
    about which a lie could not be proven is not answered for, and pursued as far as it goes."""

    def __init__(
        self,
        executor: Executor,
        adviser: Executor | None = None,
        rounds: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._executor = executor
        self._adviser = adviser
        self._rounds = rounds
        # By program and id: why a lie could not be proven, and until when that holds.
        self._flaws: OrderedDict[tuple[bytes, bytes], tuple[str, float]] = OrderedDict()
        self._clock = clock
        self._quiet: OrderedDict[FileName, float] = OrderedDict()  # by file: until when
        self._lock = Lock()

    def run(self, path: Path, model: Model, payload: bytes, task: Task, source: Path | None) -> Ran:
        """Does what the task asks for. Raises a ModelError, a PayloadError, SecondOpinionDiffers or
        RunsDiffer."""
        job = Job.of(path, model, payload, task)
        match task:
            case Infer() if model.assurance is Assurance.VANILLA:
                return (self._adviser or self._executor).run(job)
            case Infer() if self._adviser is not None:
                self._must_be_appraised(job, model)
                advice = None if source is None else replace(job, path=source, file=model.source)
                return self._advised(job, self._adviser, advice)
            case Price(most=most):
                self._flaw(job, model, most)  # which the first run need not wait for then
            case Pursue():
                ran, finding = self._confirmed(job, task)
                finding = replace(finding, unwatched=self._flaw(job, model))
                return replace(ran, data=serialization.dump(finding))
        return self._executor.run(job)

    def run_all(
        self, path: Path, model: Model, payloads: Sequence[bytes], most: float, source: Path | None
    ) -> list[Ran | None]:
        """Runs a model whose runs are brief on several payloads, as `run` does on each to `Infer`.
        Gives None for one that failed, or of which something speaks against the output: `run` says
        what. Raises what a model fails with that can do none of them."""
        job, tasks = Job.of(path, model, b""), [(Infer(), each) for each in payloads]
        if model.assurance is Assurance.VANILLA or self._adviser is None:
            return _several(self._adviser or self._executor, job, tasks, most)
        self._must_be_appraised(job, model)
        began = self._clock()
        found = _several(self._executor, job, tasks, most)
        ran = {at: each for at, each in enumerate(found) if each is not None}
        if source is None or self._is_quiet(model.source):
            checks: list[tuple[Task, bytes]] = [
                (_sample(payloads[at], each), payloads[at]) for at, each in ran.items()
            ]
            said = _several(self._executor, job, checks, most) if checks else []
        else:
            advice = replace(job, path=source, file=model.source)
            checks = [(Advise(each.data), payloads[at]) for at, each in ran.items()]
            said = _several(self._adviser, advice, checks, most) if checks else []
        held = (self._clock() - began) / len(payloads)
        good = [at for at, answer in zip(ran, said, strict=True) if answer is not None]
        return [replace(ran[at], held=held) if at in good else None for at in range(len(found))]

    def _must_be_appraised(self, job: Job, model: Model) -> None:
        """Raises Unwatched for a model about which a lie could not be proven, and NotAppraised
        where that could not be found out."""
        flaw, is_known = self._appraised(job, model)
        if flaw and not is_known:
            raise NotAppraised(f"{flaw[0].upper()}{flaw[1:]}.")
        if flaw:
            raise Unwatched(f"Nobody could be convicted of a lie about it: {flaw}.")

    def _flaw(self, job: Job, model: Model, most: float = inf) -> str:
        return self._appraised(job, model, most)[0]

    def _appraised(self, job: Job, model: Model, most: float = inf) -> tuple[str, bool]:
        """Says why a lie about a model could not be proven, and whether that is known: else it is
        why it could not be found out. What was found out once is kept. It is a model's and not its
        program's: the names in an id go with each proof, and a stranger may publish a program of
        another's under long ones. Raises InferenceTooSlow where it may take `most` seconds and
        takes longer."""
        if self._rounds is None:
            return "", True
        preimage = model_preimage(model)
        key = job.program_root, hashlib.sha256(preimage).digest()
        with self._lock:
            flaw, until = self._flaws.get(key, ("", -inf))
        if self._clock() < until:
            return flaw, until == inf
        until = inf
        try:
            task = Appraise(self._rounds, preimage, most)
            flaw = self._executor.infer(replace(job, task=task)).decode(errors="replace")
        except InferenceFailed as error:
            if isinstance(error, InferenceTooSlow) and most < inf:
                raise
            flaw = f"it could not be found out whether a lie about it can be proven ({error})"
            until = self._clock() + QUIET
        with self._lock:
            self._flaws[key] = flaw, until
            if len(self._flaws) > MOST_KEPT:
                self._flaws.popitem(last=False)
        return flaw, until == inf

    def _advised(self, job: Job, adviser: Executor, advice: Job | None) -> Ran:
        """Gives our output, where nothing speaks against it. `advice` is the job with the source in
        the file's place."""
        began = self._clock()
        ran = self._executor.run(job)
        if advice is None or not self._agrees(adviser, advice, ran):
            self._check_sample(job, ran)
        return replace(ran, held=self._clock() - began)

    def _agrees(self, adviser: Executor, advice: Job, ran: Ran) -> bool:
        """Says whether onnxruntime agrees; that is false where it has no opinion."""
        if self._is_quiet(advice.file):
            return False
        try:
            most = ADVISER_PATIENCE + ADVISER_TIMES * ran.seconds
            adviser.infer(replace(advice, task=Advise(ran.data, most)))
        except SecondOpinionDiffers:
            raise
        except OracleError as error:
            log.warning("no second opinion", file=str(advice.file), why=str(error))
            self._let_rest(advice.file)
            return False
        return True

    def _check_sample(self, job: Job, ran: Ran) -> None:
        self._executor.infer(replace(job, task=_sample(job.payload, ran)))

    def _is_quiet(self, file: FileName) -> bool:
        with self._lock:
            return self._quiet.get(file, 0.0) > self._clock()

    def _let_rest(self, file: FileName) -> None:
        """Keeps the adviser from this model for a while, since each try may cost its process and
        all the time that it has."""
        with self._lock:
            self._quiet[file] = self._clock() + QUIET
            self._quiet.move_to_end(file)
            if len(self._quiet) > MOST_KEPT:
                self._quiet.popitem(last=False)

    def _confirmed(self, job: Job, task: Pursue) -> tuple[Ran, Finding]:
        """Gives the finding, if it is that all is right, or a run in another process comes to the
        same output. Raises RunsDiffer where it does not: then nobody is to be accused."""
        ran = self._executor.run(job)
        finding = findings.read_finding(ran.data)
        if not finding.is_right:
            job = replace(job, task=Infer(task.patience))
            again = self._executor.run(job, apart_from=ran.pid).data
            findings.must_agree(finding, again, task.output)
        return ran, finding

    def close(self) -> None:
        self._executor.close()
        if self._adviser is not None:
            self._adviser.close()


def _sample(payload: bytes, ran: Ran) -> Sample:
    seed = hashlib.sha256(payload + ran.data).digest()
    patience = SAMPLE_PATIENCE + SAMPLE_TIMES * ran.seconds
    return Sample(ran.data, seed, patience, patience)


def _several(
    executor: Executor, job: Job, tasks: Sequence[tuple[Task, bytes]], most: float
) -> list[Ran | None]:
    """Has one process do several things, one after the other. Gives None for what failed."""
    ran = executor.run(replace(job, task=Several(tuple(tasks), most)))
    try:
        answers = serialization.load(ran.data, tuple[bytes | None, ...])
    except Unreadable:
        answers = ()
    if len(answers) != len(tasks):
        raise InferenceFailed("The child process gave an answer that cannot be read.")
    seconds = ran.seconds / len(tasks)
    return [
        Ran(answer, seconds, ran.pid)
        if answer is not None and replace(job, task=task).fits(len(answer))
        else None
        for answer, (task, _) in zip(answers, tasks, strict=True)
    ]
