"""One inference: from a model's file and its terms to an engine, from a payload to a payload."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import ModelProto

from oracle import merkle, serialization
from oracle.errors import (
    InferenceFailed,
    ModelMismatch,
    ModelRefused,
    ModelUnavailable,
    SecondOpinionDiffers,
)
from oracle.exact.lowering.graph import lower
from oracle.exact.proofs.cost import trace_work
from oracle.exact.proofs.pursuit import output_of
from oracle.exact.proofs.revealed import RevealedTrace
from oracle.exact.proofs.trace import Trace, trace
from oracle.exact.run import Runner
from oracle.inference import findings, testimony
from oracle.inference.findings import MAX_FINDING, Finding
from oracle.inference.onnxruntime import Native, SecondOpinion, real_inputs, symbols
from oracle.tensor import decode, encode
from oracle.types import Assurance, Part, Signature, TensorType

MAX_SIBLINGS = 64  # of a part: a value's tree and the tree of values are 32 high at most
MAX_PRICE = 1 << 16  # bytes


class ModelIdentity(Protocol):
    """What of a model's id decides its results. A Model has it, and so has a Job."""

    @property
    def file_hash(self) -> bytes: ...
    @property
    def program_root(self) -> bytes: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def assurance(self) -> Assurance: ...


@dataclass(frozen=True, slots=True)
class Infer:
    """The output's payload. Who posts it wants the second opinion; who audits does not need it."""

    second_opinion: bool = True


@dataclass(frozen=True, slots=True)
class Price:
    """What a pass over the model's trace takes: a `TraceWork`, as JSON. Runs nothing."""


@dataclass(frozen=True, slots=True)
class Testify:
    """What our run shows of an output that another proposed: a `Testimony`, as JSON."""

    output: bytes


@dataclass(frozen=True, slots=True)
class Open:
    """Parts of the trace, by one pass: JSON of the data of each, and after it the siblings. A trace
    takes longer than the run, and who has none to show is slashed: it may take `patience` seconds,
    if not more."""

    parts: tuple[Part, ...]
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class Pursue:
    """What to do about an output that another proposed: a `Finding`, as JSON. Parts of its trace
    were revealed, each with its data and siblings."""

    output: bytes
    trace_root: bytes | None = None
    revealed: tuple[tuple[Part, bytes, tuple[bytes, ...]], ...] = ()


Task = Infer | Testify | Price | Open | Pursue


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do about one inference: a model's file and terms, and the input."""

    path: Path
    file_hash: bytes
    program_root: bytes  # 32 zero bytes for VANILLA
    signature: Signature
    assurance: Assurance
    payload: bytes
    task: Task = Infer()

    @property
    def second_opinion(self) -> bool:
        match self.task:
            case Infer(second_opinion=wanted):
                return wanted
            case Pursue():
                return True
            case _:
                return False

    @property
    def patience(self) -> float:
        """Seconds that it must be given."""
        return self.task.patience if isinstance(self.task, Open) else 0.0

    @property
    def longest(self) -> int:
        """Bytes that an answer may have."""
        match self.task:
            case Infer():
                return self.signature.output_length
            case Testify():
                return testimony.most_bytes(self.signature)
            case Open(parts=parts):
                # As base64, beside the commas.
                return 2 * sum(part.size + MAX_SIBLINGS * 32 for part in parts) + 2
            case Price():
                return MAX_PRICE
            case Pursue():
                return MAX_FINDING

    def fits(self, length: int) -> bool:
        """Whether an answer may have that length."""
        if isinstance(self.task, Infer):
            return length == self.longest
        return 0 <= length <= self.longest


class Engine(Protocol):
    """A model, loaded and checked."""

    def infer(self, payload: bytes) -> bytes:
        """The output's payload. Raises PayloadError, InferenceFailed or SecondOpinionDiffers."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """The law's result; with a second opinion, only where onnxruntime agrees."""

    runner: Runner
    opinion: SecondOpinion | None
    # Of the last trace, by its payload: a dispute asks for parts of one again and again. Its values
    # are not kept, since the next run needs their memory.
    _roots: dict[bytes, list[bytes]] = field(default_factory=dict, repr=False)

    def do(self, task: Task, payload: bytes) -> bytes:
        match task:
            case Infer():
                return self.infer(payload)
            case Price():
                return serialization.dump(trace_work(self.runner.program))
            case Testify(output):
                return self.testify(payload, output)
            case Open(parts=parts):
                opened = self.trace(payload).open_parts(parts)
                return serialization.dump([data + b"".join(rest) for data, rest in opened])
            case Pursue():
                return serialization.dump(self.pursue(task, payload))

    def pursue(self, task: Pursue, payload: bytes) -> Finding:
        """Raises InferenceFailed where two runs of ours differ: then nobody is to be accused."""
        signature = self.runner.program.signature
        inputs = decode(payload, signature.inputs)
        outputs = self.runner.run(inputs)
        if encode(outputs, signature.outputs) == task.output:
            return Finding(is_right=True)
        revealed = RevealedTrace(self.trace(payload), task.trace_root)
        if output_of(revealed) != encode(outputs, signature.outputs):
            raise InferenceFailed(
                "Two runs here give different outputs; this machine is not sound."
            )
        for part, data, siblings in task.revealed:
            revealed.add(part, data, siblings)
        doubt = None
        if self.opinion is not None:
            try:
                self.opinion.check(inputs, outputs)
            except (SecondOpinionDiffers, InferenceFailed) as error:
                doubt = str(error)
        return findings.find(revealed, inputs, task.output, doubt)

    def trace(self, payload: bytes) -> Trace:
        if payload not in self._roots:
            self._roots.clear()
            self._roots[payload] = []
        inputs = decode(payload, self.runner.program.signature.inputs)
        return trace(self.runner, inputs, self._roots[payload])

    def infer(self, payload: bytes) -> bytes:
        if self.opinion is None:
            return self.runner.infer(payload)
        signature = self.runner.program.signature
        inputs = decode(payload, signature.inputs)
        outputs = self.runner.run(inputs)
        self.opinion.check(inputs, outputs)
        return encode(outputs, signature.outputs)

    def testify(self, payload: bytes, output: bytes) -> bytes:
        """What `Testify` asks for."""
        inputs = decode(payload, self.runner.program.signature.inputs)
        ours = self.runner.infer(payload)
        return serialization.dump(
            testimony.testify(trace(self.runner, inputs), inputs, ours, output)
        )


def load_engine(data: bytes, model: ModelIdentity, *, second_opinion: bool = False) -> Engine:
    """The engine of `model`, whose file is `data`. Raises ModelMismatch where they do not belong
    together, and ModelRefused.

    Who posts results wants the second opinion, and a child process: a hostile model can kill the
    process that onnxruntime runs in. Who audits needs neither, for the law needs no second.
    """
    file_hash = hashlib.sha256(data).digest()
    if file_hash != model.file_hash:
        raise ModelMismatch(
            f"The model's file has SHA-256 {file_hash.hex()}; the model's id says"
            f" {model.file_hash.hex()}."
        )
    dims = dims_of(data, model.signature)
    if model.assurance is Assurance.VANILLA:
        native = Native(data, dims)
        _check_signature(native.signature, model.signature)
        return native
    merkle.load()  # a trace needs it, so a run that has no room for it must fail too
    program = lower(data, dims)
    _check_signature(program.signature, model.signature)
    if program.root != model.program_root:
        raise ModelMismatch(
            f"The file's program has root 0x{program.root.hex()}; the model's id says"
            f" 0x{model.program_root.hex()}."
        )
    opinion = None
    if second_opinion:
        try:
            opinion = SecondOpinion(data, program.signature, dims, program.labels)
        except ModelRefused as error:
            raise InferenceFailed(f"There is no second opinion to be had: {error}") from error
    return Exact(Runner(program), opinion)


def dims_of(data: bytes, signature: Signature) -> dict[str, int]:
    """What the symbolic dims of a file were frozen to when it was published."""
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        return {}  # the loader says what is wrong with it
    shapes = {tensor.name: tensor.shape for tensor in signature.inputs}
    return {
        name: shapes[info.name][axis]
        for info in real_inputs(proto.graph)
        for axis, name in symbols(info)
        if axis < len(shapes.get(info.name, ()))
    }


def do(engine: Engine, job: Job) -> bytes:
    """Computes what the job asks for. Raises what engines raise."""
    if isinstance(engine, Exact):
        return engine.do(job.task, job.payload)
    if isinstance(job.task, Infer):
        return engine.infer(job.payload)
    raise InferenceFailed("A VANILLA model has no trace.")


class Engines:
    """The engines used last, ready to infer again."""

    def __init__(self, keep: int):
        self._keep = keep
        self._engines: OrderedDict[tuple[object, ...], Engine] = OrderedDict()

    def of(self, job: Job) -> Engine:
        """Gives the job's engine, loaded anew where it is not kept. Raises as loading does."""
        try:
            return self._engine(job, job.second_opinion)
        except InferenceFailed:
            # Who doubts another's result can do without it; who posts one cannot.
            if not isinstance(job.task, Pursue):
                raise
            return self._engine(job, second_opinion=False)

    def _engine(self, job: Job, second_opinion: bool) -> Engine:
        key = (job.file_hash, job.program_root, job.signature, job.assurance, second_opinion)
        engine = self._engines.get(key)
        if engine is None:
            engine = load_engine(_read(job.path), job, second_opinion=second_opinion)
            self._engines[key] = engine
            if len(self._engines) > self._keep:
                self._engines.popitem(last=False)
        self._engines.move_to_end(key)
        return engine


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelUnavailable(f"The model's file {path} cannot be read: {error}.") from error


def _check_signature(actual: Signature, needed: Signature) -> None:
    if actual != needed:
        raise ModelMismatch(
            f"The file takes {_list(actual.inputs)} and gives {_list(actual.outputs)}; the model's"
            f" id says {_list(needed.inputs)} and {_list(needed.outputs)}."
        )


def _list(tensors: Sequence[TensorType]) -> str:
    return ", ".join(map(str, tensors))
