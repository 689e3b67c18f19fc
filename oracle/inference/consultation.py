"""What others say of a program's results before it is published: onnxruntime, who trained it."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

import numpy as np

from oracle.errors import ConfigError, ModelError, PayloadError, SecondOpinionDiffers
from oracle.exact.program import Op, Program
from oracle.exact.run import Runner
from oracle.inference.engine import Advise
from oracle.inference.executor import Executor, Job
from oracle.inference.onnxruntime import FLOAT32_NOISE, QUANTIZED_NOISE, differs
from oracle.tensor import Array, encode, numpy_dtype
from oracle.texts import listed, places
from oracle.types import Assurance, DType, FileKind, FileName, Signature, TensorType

INPUTS = 8  # random ones
SHOWN = 3  # inputs of which it is said how they differ
PATIENCE = 60.0  # seconds after which no other input is tried
MOST_ROWS = 1 << 30  # bytes of a file of rows


@dataclass(frozen=True, slots=True)
class Opinion:
    """How many inputs were tried, in how many another's result differs beyond noise, in how many
    there is none; and what is said of the first few that differ, or that have none."""

    tried: int
    differs: int
    missing: int
    first: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.differs and not self.missing


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs in signature order, a row each, and for the outputs that are named what somebody says
    of each row."""

    inputs: tuple[tuple[Array, ...], ...]
    outputs: Mapping[str, Array]  # [rows, …]

    @classmethod
    def read(cls, path: Path, program: Program) -> "Rows":
        """Reads a .npz file with an array [rows, …] for each input and for some outputs, by name.
        Raises ConfigError."""
        arrays = _arrays(path)
        signature = program.signature
        known = {type_.name: type_ for type_ in (*signature.inputs, *signature.outputs)}
        odd = sorted(set(arrays) - set(known))
        missing = [type_.name for type_ in signature.inputs if type_.name not in arrays]
        if odd or missing:
            what = f"has no {missing[0]!r}" if missing else f"has {odd[0]!r}"
            raise ConfigError(f"{path} {what}: its arrays go by {', '.join(map(repr, known))}.")
        lengths = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
        if len(lengths) > 1 or 0 in lengths:
            raise ConfigError(f"The arrays of {path} have not all as many rows.")
        try:
            columns = [
                _rows(_of_input(arrays[type_.name], type_, program), type_)
                for type_ in signature.inputs
            ]
        except PayloadError as error:
            raise ConfigError(f"{path}: {error}") from None
        outputs = {
            type_.name: _rows(_of_output(arrays[type_.name], type_, program), type_)
            for type_ in signature.outputs
            if type_.name in arrays
        }
        return cls(tuple(zip(*columns, strict=True)), outputs)


def random_rows(signature: Signature, count: int = INPUTS) -> Iterator[tuple[Array, ...]]:
    """Yields inputs: numbers about 1, then about 10 and 100; of integers, which are often places in
    a table, 0 and 1."""
    rng = np.random.default_rng(0)
    for at in range(count):
        scale = np.float32(10.0 ** max(0, at % 4 - 1))
        yield tuple(_random(rng, type_, scale) for type_ in signature.inputs)


def consult(
    program: Program, source: bytes, inputs: Iterable[Sequence[Array]], memory: int
) -> Opinion:
    """Asks onnxruntime, which runs the source in a process of its own, since it may die of it."""
    signature, runner = program.signature, Runner(program)
    name = FileName(FileKind.ONNX, hashlib.sha256(source).digest())
    end = time.monotonic() + PATIENCE
    said = list[_Said]()
    with TemporaryDirectory() as folder, Executor(1, PATIENCE, memory) as adviser:
        path = Path(folder) / str(name)
        path.write_bytes(source)
        for row in inputs:
            ours = encode(runner.run(row), signature.outputs)
            job = Job(
                path=path,
                file=name,
                program_root=program.root,
                signature=signature,
                assurance=Assurance.EXACT,
                payload=encode(row, signature.inputs),
                task=Advise(ours, PATIENCE),
            )
            said.append(_asked(adviser, job))
            if time.monotonic() > end:
                break
    return _summed(said)


def compare(program: Program, rows: Rows) -> Opinion:
    """Compares the program's results with what somebody says of each row. Rows count from 0, as
    those of an array do."""
    types = [type_ for type_ in program.signature.outputs if type_.name in rows.outputs]
    wanted = Signature((), tuple(types))
    is_quantized = any(node.op is Op.QUANTIZE for node in program.nodes)
    noise = QUANTIZED_NOISE if is_quantized else FLOAT32_NOISE
    runner, said = Runner(program), list[_Said]()
    for at, row in enumerate(rows.inputs):
        ours = dict(zip(program.signature.outputs, runner.run(row), strict=True))
        theirs = [rows.outputs[type_.name][at] for type_ in types]
        found = differs([ours[type_] for type_ in types], theirs, wanted, noise, "the rows")
        said.append(_Said(f"Row {at}: {found}" if found else "", is_opinion=True))
    return _summed(said)


@dataclass(frozen=True, slots=True)
class _Said:
    """Why another does not agree; nothing where it does."""

    why: str
    is_opinion: bool


def _asked(adviser: Executor, job: Job) -> _Said:
    try:
        adviser.infer(job)
    except SecondOpinionDiffers as error:
        return _Said(str(error), is_opinion=True)
    except ModelError as error:
        return _Said(str(error), is_opinion=False)
    return _Said("", is_opinion=True)


def _summed(said: Sequence[_Said]) -> Opinion:
    differing = [each.why for each in said if each.why and each.is_opinion]
    missing = [each.why for each in said if not each.is_opinion]
    first = tuple((differing or missing)[:SHOWN])
    return Opinion(len(said), len(differing), len(missing), first)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        if path.stat().st_size > MOST_ROWS:
            raise ConfigError(f"{path} is longer than {MOST_ROWS} bytes, so it is not read.")
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    # AttributeError: of an array of its own, .npy.
    except (ValueError, BadZipFile, EOFError, AttributeError):
        raise ConfigError(
            f"{path} is no .npz file of arrays of numbers or strings: numpy.savez writes one, of"
            " objects as numpy.array(objects, str)."
        ) from None


def _of_input(array: Array, type_: TensorType, program: Program) -> Array:
    """Gives places in place of strings. Raises PayloadError."""
    if array.dtype.kind not in "US":
        return array
    known = program.categories if type_.dtype is DType.INT64 else ()
    found = places(array.astype(str).ravel().tolist(), known, type_.name)
    return np.array(found, np.int64).reshape(array.shape)


def _of_output(array: Array, type_: TensorType, program: Program) -> Array:
    """Gives the classes' places in place of their names. Raises ConfigError."""
    if array.dtype.kind not in "US":
        return array
    texts: list[str] = array.astype(str).ravel().tolist()
    place_of = {str(label): place for place, label in enumerate(program.labels)}
    unknown = sorted(set(texts) - set(place_of))
    if unknown:
        known = f" ({listed(program.labels)})" if program.labels else ", which names none"
        raise ConfigError(f"{unknown[0]!r} of {type_.name!r} is no class of the model{known}.")
    return np.array([place_of[text] for text in texts], np.int64).reshape(array.shape)


def _rows(array: Array, type_: TensorType) -> Array:
    """Gives rows of the type's own shape and dtype."""
    name = f"{type_.name!r}"
    each = array.size // array.shape[0]
    if each != type_.elements:
        raise ConfigError(f"A row of {name} has {each} elements; the model's {type_}.")
    with np.errstate(all="ignore"):
        cast = array.astype(numpy_dtype(type_.dtype))
    if type_.dtype is not DType.FLOAT and not np.array_equal(cast, array):
        raise ConfigError(f"{name} has numbers that are no {type_.dtype.name.lower()}.")
    return cast.reshape(-1, *type_.shape)


def _random(rng: np.random.Generator, type_: TensorType, scale: np.float32) -> Array:
    if type_.dtype is DType.FLOAT:
        return rng.standard_normal(type_.shape, np.float32) * scale
    most = 256 if type_.dtype is DType.UINT8 else 2
    return rng.integers(0, most, type_.shape).astype(numpy_dtype(type_.dtype))
