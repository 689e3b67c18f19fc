"""One inference: from a model's file and its terms to an engine, from a payload to a payload."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Protocol, Self, cast

from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import ModelProto

from oracle import merkle, serialization
from oracle.errors import (
    InferenceFailed,
    ModelMismatch,
    ModelRefused,
    ModelUnavailable,
    RunsDiffer,
)
from oracle.exact import program_file
from oracle.exact.lowering.external import outside_files, whole
from oracle.exact.lowering.graph import has_text, lower, real_inputs, symbols
from oracle.exact.program import Program
from oracle.exact.proofs import pursuit, sample
from oracle.exact.proofs.cost import trace_work
from oracle.exact.proofs.evidence import Payloads
from oracle.exact.proofs.inspect import unprovable
from oracle.exact.proofs.pursuit import output_of
from oracle.exact.proofs.revealed import RevealedTrace
from oracle.exact.proofs.trace import Trace, trace
from oracle.exact.run import Runner
from oracle.inference import findings, packed, testimony
from oracle.inference.findings import MAX_FINDING, Finding
from oracle.tensor import decode, encode
from oracle.types import Assurance, DType, FileName, Part, Signature, TensorType

MAX_REASON = 1000  # bytes: of what a child says in words

MAX_SIBLINGS = 64  # of a part: a value's tree and the tree of values are 32 high at most
MAX_PRICE = 1 << 16  # bytes


class ModelIdentity(Protocol):
    """What of a model's id decides its results. A Model has it, and so has a Job."""

    @property
    def file(self) -> FileName: ...
    @property
    def program_root(self) -> bytes: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def assurance(self) -> Assurance: ...


@dataclass(frozen=True, slots=True)
class Infer:
    """Asks for the output's payload, by the law alone. It may take `patience` seconds, if not
    more, and never more than `most`."""

    patience: float = 0.0
    most: float = inf


@dataclass(frozen=True, slots=True)
class Advise:
    """Asks whether onnxruntime agrees with an output of ours; the answer is empty where it does. It
    may not take more than `most` seconds."""

    output: bytes
    most: float = inf


@dataclass(frozen=True, slots=True)
class Appraise:
    """Asks why a lie about the model could not be proven where so many demands fit one after
    another; the answer is empty where it could. `model` is what its id is the hash of, which goes
    with each proof. It may not take more than `most` seconds."""

    rounds: int
    model: bytes
    most: float = inf


@dataclass(frozen=True, slots=True)
class Sample:
    """Asks whether the plain rules agree with an output of ours, at elements of each node that the
    seed chooses; the answer is empty where they do. It takes longer than the run: it may take
    `patience` seconds, if not more, and never more than `most`."""

    output: bytes
    seed: bytes
    patience: float = 0.0
    most: float = inf


@dataclass(frozen=True, slots=True)
class Price:
    """What a pass over the model's trace takes: a `TraceWork`, as JSON. Runs nothing. It may not
    take more than `most` seconds."""

    most: float = inf


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
    were revealed, each with its data and siblings. It may take `patience` seconds, if not more."""

    output: bytes
    trace_root: bytes | None = None
    revealed: tuple[tuple[Part, bytes, tuple[bytes, ...]], ...] = ()
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class Several:
    """Asks for several things about several inputs of a model, one after the other, as brief runs
    take less than to ask for one. The answer has that to each, or nothing where it failed: whoever
    wants to know why asks for that one alone. It may not take more than `most` seconds."""

    each: "tuple[tuple[Task, bytes], ...]"
    most: float = inf


Task = Infer | Advise | Appraise | Sample | Testify | Price | Open | Pursue | Several


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do about one inference: a model's file and terms, and the input. To advise, the
    file is the model's source."""

    path: Path
    file: FileName
    program_root: bytes  # 32 zero bytes for VANILLA
    signature: Signature
    assurance: Assurance
    payload: bytes
    task: Task = Infer()

    @classmethod
    def of(cls, path: Path, model: ModelIdentity, payload: bytes, task: Task = Infer()) -> Self:
        """Makes a job about a model whose file is at `path`."""
        return cls(
            path=path,
            file=model.file,
            program_root=model.program_root,
            signature=model.signature,
            assurance=model.assurance,
            payload=payload,
            task=task,
        )

    @property
    def patience(self) -> float:
        """The seconds that it must be given."""
        return getattr(self.task, "patience", 0.0)

    @property
    def most(self) -> float:
        """The seconds after which it is of no use any more."""
        return getattr(self.task, "most", inf)

    @property
    def longest(self) -> int:
        """The most bytes that an answer may have."""
        match self.task:
            case Infer():
                return self.signature.output_length
            case Advise() | Sample():
                return 0
            case Appraise():
                return MAX_REASON
            case Testify():
                return testimony.most_bytes(self.signature)
            case Open(parts=parts):
                # As base64, beside the commas.
                return 2 * sum(part.size + MAX_SIBLINGS * 32 for part in parts) + 2
            case Price():
                return MAX_PRICE
            case Pursue():
                return MAX_FINDING
            case Several(each=each):
                # As base64, beside the commas.
                lengths = (replace(self, task=task).longest for task, _ in each)
                return sum(2 * length + 8 for length in lengths) + 2

    def fits(self, length: int) -> bool:
        """Says whether an answer may have that length."""
        if isinstance(self.task, Infer):
            return length == self.longest
        return 0 <= length <= self.longest


class Engine(Protocol):
    """A model, loaded and checked."""

    def infer(self, payload: bytes) -> bytes:
        """Computes the output's payload. Raises PayloadError or InferenceFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """The law's result, and what accuses by it. onnxruntime has no part in either: a stranger's
    model can kill or stall it, and nobody may be silent for that."""

    runner: Runner
    loading: float = 0.0  # seconds that it took to load
    # Of the last trace, by its payload: a dispute asks for parts of one again and again. Its values
    # are not kept, since the next run needs their memory.
    _roots: dict[bytes, list[bytes]] = field(default_factory=dict, repr=False)

    def do(self, task: Task, payload: bytes) -> bytes:
        match task:
            case Infer():
                return self.infer(payload)
            case Price():
                work = trace_work(self.runner.program)
                return serialization.dump(replace(work, loading=self.loading))
            case Appraise(rounds=rounds, model=model):
                return appraise(self.runner.program, rounds, model).encode()
            case Sample(output=output, seed=seed):
                inputs = decode(payload, self.runner.program.signature.inputs)
                sample.check(self.runner, inputs, output, seed)
                return b""
            case Testify(output):
                return self.testify(payload, output)
            case Open(parts=parts):
                opened = self.trace(payload).open_parts(parts)
                return serialization.dump([data + b"".join(rest) for data, rest in opened])
            case Pursue():
                return serialization.dump(self.pursue(task, payload))
            case Advise() | Several():
                raise InferenceFailed("The law gives no second opinion.")

    def pursue(self, task: Pursue, payload: bytes) -> Finding:
        """Raises RunsDiffer where two runs of ours differ, or the plain rules do not say what the
        run says of the accused element: then nobody is to be accused."""
        signature = self.runner.program.signature
        inputs = decode(payload, signature.inputs)
        ours = encode(self.runner.run(inputs), signature.outputs)
        if ours == task.output:
            return Finding(is_right=True)
        revealed = RevealedTrace(self.trace(payload), task.trace_root)
        if output_of(revealed) != ours:
            raise RunsDiffer("Two runs here give different outputs: this machine is not sound.")
        for part, data, siblings in task.revealed:
            revealed.add(part, data, siblings)
        finding = findings.find(revealed, inputs, Payloads(payload, task.output))
        finding = findings.by_plain_rules(finding, revealed, inputs)
        return replace(finding, ours=hashlib.sha256(ours).digest())

    def trace(self, payload: bytes) -> Trace:
        if payload not in self._roots:
            self._roots.clear()
            self._roots[payload] = []
        inputs = decode(payload, self.runner.program.signature.inputs)
        return trace(self.runner, inputs, self._roots[payload])

    def infer(self, payload: bytes) -> bytes:
        return self.runner.infer(payload)

    def testify(self, payload: bytes, output: bytes) -> bytes:
        """Computes what `Testify` asks for."""
        inputs = decode(payload, self.runner.program.signature.inputs)
        ours = self.runner.infer(payload)
        return serialization.dump(
            testimony.testify(trace(self.runner, inputs), inputs, ours, Payloads(payload, output))
        )


class Adviser(Protocol):
    """A model that onnxruntime has loaded, to be compared with the law's results."""

    def advise(self, payload: bytes, output: bytes) -> None:
        """Raises SecondOpinionDiffers, or InferenceFailed where it has no opinion."""
        ...


def load_engine(path: Path, model: ModelIdentity) -> Engine:
    """Loads the engine of `model`, whose file is at `path`. Raises ModelMismatch where they do not
    belong together, and ModelRefused. A hostile VANILLA model can kill the process."""
    began = time.monotonic()
    if model.assurance is Assurance.VANILLA:
        # Of no use to an exact model: neither its memory nor its faults.
        from oracle.inference.onnxruntime import Native

        data = _onnx(path, model)
        native = Native(data, dims_of(data, model.signature))
        _check_signature(native.signature, model.signature)
        return native
    merkle.load()  # a trace needs it, so a run that has no room for it must fail too
    try:
        program = program_file.read(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if program.root != model.program_root:
        raise ModelMismatch(
            f"The file's program has root 0x{program.root.hex()}; the model's id says"
            f" 0x{model.program_root.hex()}."
        )
    _check_signature(program.signature, model.signature)
    return Exact(Runner(program), loading=time.monotonic() - began)


def load_adviser(path: Path, model: ModelIdentity) -> Adviser:
    """Loads the second opinion on an EXACT model, whose source is at `path`. A hostile one can kill
    the process."""
    from oracle.inference.onnxruntime import SecondOpinion

    try:
        data = _packed(path, model) or _onnx(path, model)
        dims = dims_of(data, model.signature)
        program = lower(data, dims) if has_text(data) else None
        texts = (program.labels, program.categories) if program else ()
        return SecondOpinion(data, model.signature, dims, *texts)
    except ModelRefused as error:
        raise InferenceFailed(f"There is no second opinion to be had: {error}") from error


def appraise(program: Program, rounds: int, model: bytes) -> str:
    """Says why a lie about the program could not be proven; nothing where it could."""
    needed = pursuit.rounds(program)
    if needed > rounds:
        return (
            f"a lie about it may take {needed} demands to prove, one after another, and the times"
            f" of the disputes contract leave room for {rounds}"
        )
    reasons = unprovable(program, model)
    if not reasons:
        return ""
    more = f"; and {len(reasons) - 1} more like it" if len(reasons) > 1 else ""
    return f"{reasons[0].why}{more}"[:MAX_REASON]


def dims_of(data: bytes, signature: Signature) -> dict[str, int]:
    """Finds what the symbolic dims of a file were frozen to when it was published. Inputs are told
    apart by their places: what an id calls them is nobody's to compare."""
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        return {}  # the loader says what is wrong with it
    return {
        name: tensor.shape[axis]
        for info, tensor in zip(real_inputs(proto.graph), signature.inputs, strict=False)
        for axis, name in symbols(info)
        if axis < len(tensor.shape)
    }


def _onnx(path: Path, model: ModelIdentity) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    _check_digest(hashlib.sha256(data).digest(), model)
    return data


def _packed(path: Path, model: ModelIdentity) -> bytes | None:
    """Reads a source that keeps tensors in other files as one file, or gives None where it is none
    that a cache packed. Raises ModelRefused where that is longer than a protobuf may be."""
    try:
        with path.open("rb") as file:
            parts = packed.unpack(file)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not parts:
        return None
    _check_digest(packed.joined(hashlib.sha256(part).digest() for part in parts), model)
    return whole(parts[0], dict(zip(outside_files(parts[0]), parts[1:], strict=False)))


def _check_digest(digest: bytes, model: ModelIdentity) -> None:
    if digest != model.file.digest:
        raise ModelMismatch(
            f"The model's file has SHA-256 {digest.hex()}; the model's id says"
            f" {model.file.digest.hex()}."
        )


def _unreadable(path: Path, error: OSError) -> ModelUnavailable:
    return ModelUnavailable(f"The model's file {path} cannot be read: {error}.")


def do(loaded: Engine | Adviser, job: Job) -> bytes:
    """Computes what the job asks for. Raises what engines and advisers raise."""
    if isinstance(job.task, Several):
        return serialization.dump([_tried(loaded, job, *each) for each in job.task.each])
    if isinstance(loaded, Exact):
        return loaded.do(job.task, job.payload)
    if isinstance(job.task, Advise):
        cast(Adviser, loaded).advise(job.payload, job.task.output)
        return b""
    if isinstance(job.task, Infer):
        return cast(Engine, loaded).infer(job.payload)
    raise InferenceFailed("A VANILLA model has no trace.")


def _tried(loaded: Engine | Adviser, job: Job, task: Task, payload: bytes) -> bytes | None:
    """Does one of several things. Gives None where that fails, or does not fit."""
    one = replace(job, task=task, payload=payload)
    try:
        found = do(loaded, one)
    except MemoryError:
        raise
    except Exception:  # it is asked for again, alone, and says then what it was
        return None
    return found if one.fits(len(found)) else None


class Engines:
    """The engines and advisers used last, ready to be used again."""

    def __init__(self, keep: int):
        self._keep = keep
        self._loaded: OrderedDict[tuple[object, ...], Engine | Adviser] = OrderedDict()

    def of(self, job: Job) -> Engine | Adviser:
        """Gives what the job needs, loaded anew where it is not kept. Raises as loading does."""
        first = job.task.each[0][0] if isinstance(job.task, Several) else job.task
        load = load_adviser if isinstance(first, Advise) else load_engine
        key = (load, job.file, job.program_root, job.signature, job.assurance)
        if key not in self._loaded:
            self._loaded[key] = load(job.path, job)
            if len(self._loaded) > self._keep:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]


def _check_signature(actual: Signature, needed: Signature) -> None:
    """Checks that the file has the types of the published signature. Names are not compared: they
    have no effect, and with a wrong one a publisher could keep everybody from running the model."""
    if _types(actual) != _types(needed):
        raise ModelMismatch(
            f"The file takes {_list(actual.inputs)} and gives {_list(actual.outputs)}; the model's"
            f" id says {_list(needed.inputs)} and {_list(needed.outputs)}."
        )


def _types(signature: Signature) -> list[list[tuple[DType, tuple[int, ...]]]]:
    tensors = signature.inputs, signature.outputs
    return [[(tensor.dtype, tensor.shape) for tensor in each] for each in tensors]


def _list(tensors: Sequence[TensorType]) -> str:
    return ", ".join(map(str, tensors))
