"""Tries one model: lowers it, runs it, asks onnxruntime, and bounds what its proofs take."""

import hashlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from oracle.errors import InferenceFailed, ModelRefused, SecondOpinionDiffers
from oracle.exact.lowering.external import whole
from oracle.exact.lowering.graph import lower, real_inputs, symbols
from oracle.exact.program import Program
from oracle.exact.proofs.inspect import inspect
from oracle.exact.run import Runner
from oracle.inference.onnxruntime import SecondOpinion
from oracle.tensor import Array, numpy_dtype
from oracle.types import DType, TensorType
from scripts.survey.collected import ANY_DIM, Candidate

RUNS = 3
"""On as many inputs the law and onnxruntime are compared."""
LARGEST_INTEGER = 4
"""Integers are drawn below it, since most are places in a vocabulary or indices."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one model. `refused` has every reason why it is outside the law, `unprovable`
    every node of which an element could not be proven wrong. `opinion` is `agrees`, or says how
    onnxruntime differs or why it has none. `broke` says how the child that tried it ended, if not
    well."""

    name: str
    origin: str
    sha256: str
    size: int = 0
    refused: tuple[str, ...] = ()
    root: str = ""
    nodes: int = 0
    work: int = 0
    gas: int = 0
    unprovable: tuple[str, ...] = ()
    opinion: str = ""
    seconds: float = 0.0
    broke: str = ""


def verdict(candidate: Candidate) -> Verdict:
    """Tries one model. What is no refusal is a fault of ours, and raised."""
    warnings.simplefilter("ignore")
    file = candidate.onnx()
    name, origin, digest = candidate.name, candidate.origin, hashlib.sha256(file).hexdigest()
    dims = _dims(file, candidate)
    try:
        with candidate.folder() as folder:
            program, inside = lower(file, dims, folder=folder), whole(file, folder)
    except ModelRefused as refused:
        reasons = tuple(map(str, refused.reasons))
        return Verdict(name, origin, digest, len(file), reasons)
    found = inspect(b"", program)
    runner = Runner(program)
    rows = list(_inputs(program, candidate))
    runner.run(rows[0])  # compiles
    started = time.process_time()
    outputs = [runner.run(each) for each in rows]
    seconds = (time.process_time() - started) / len(rows)
    return Verdict(
        name,
        origin,
        digest,
        len(file),
        root=program.root.hex(),
        nodes=len(program.nodes),
        work=found.steps,
        gas=found.dearest.gas,
        unprovable=tuple(map(str, found.unprovable)),
        opinion=_opinion(inside, dims, program, rows, outputs),
        seconds=seconds,
    )


def _dims(file: bytes, candidate: Candidate) -> dict[str, int]:
    """Gives every open dim a size: the batch 1, others as the list of models says."""
    dims: dict[str, int] = {}
    for info in real_inputs(ModelProto.FromString(file).graph):
        for axis, name in symbols(info):
            dims.setdefault(name, 1 if axis == 0 and "num" not in name else ANY_DIM)
    return dims | {name: size for name, size in candidate.dims.items() if name in dims}


def _inputs(program: Program, candidate: Candidate) -> Iterator[tuple[Array, ...]]:
    """Yields inputs: the rows that came with the model, or random ones, the same every time."""
    types = program.signature.inputs
    rng = np.random.default_rng(0)
    given = _rows(candidate)
    for run in range(RUNS):
        yield tuple(
            given[at][run].reshape(type_.shape).astype(numpy_dtype(type_.dtype))
            if at < len(given)
            else _random(type_, rng, candidate)
            for at, type_ in enumerate(types)
        )


def _rows(candidate: Candidate) -> list[Array]:
    if candidate.rows is None or not candidate.rows.exists():
        return []
    with np.load(candidate.rows) as kept:
        return [kept[name] for name in sorted(kept.files)]


def _random(type_: TensorType, rng: np.random.Generator, candidate: Candidate) -> Array:
    if type_.name in candidate.fixed:
        return np.broadcast_to(candidate.fixed[type_.name], type_.shape).astype(
            numpy_dtype(type_.dtype)
        )
    if type_.dtype is DType.FLOAT:
        return rng.standard_normal(type_.shape, np.float32)
    if type_.dtype is DType.BOOL:
        return rng.integers(0, 2, type_.shape).astype(np.bool_)
    return rng.integers(0, LARGEST_INTEGER, type_.shape).astype(numpy_dtype(type_.dtype))


def _opinion(
    file: bytes,
    dims: dict[str, int],
    program: Program,
    rows: list[tuple[Array, ...]],
    outputs: list[tuple[Array, ...]],
) -> str:
    try:
        second = SecondOpinion(file, program.signature, dims, program.labels, program.categories)
        for inputs, ours in zip(rows, outputs, strict=True):
            second.check(inputs, ours)
    except SecondOpinionDiffers as differs:
        return f"differs: {differs}"
    except (ModelRefused, InferenceFailed) as none:
        return f"none: {none}"
    return "agrees"
