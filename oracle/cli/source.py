"""A model's file as a publisher has it: an ONNX file, or the program that was lowered from one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from oracle.cli import show
from oracle.cli.files import read_file, write_file
from oracle.cli.options import DIM
from oracle.errors import ConfigError, ModelRefused
from oracle.exact.lowering.external import source_digest, whole
from oracle.exact.lowering.graph import frozen_dims, lower
from oracle.exact.program import Program
from oracle.exact.program_file import is_program, pack, read, source_hash
from oracle.inference.consultation import Opinion, Rows, compare, consult, random_rows
from oracle.types import Address, Assurance, Model, Wei

MEMORY = 4 << 30  # bytes that onnxruntime may take
MOST_ASKED = 256  # rows that onnxruntime is asked about

FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
DIMS = click.option(
    "--dim",
    "dims",
    type=DIM,
    multiple=True,
    help="Size of a dimension that the file leaves open. May be repeated.",
)
CHECK = click.option(
    "--check",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="ROWS",
    help="A .npz file of inputs, and of what the trained model says of each: an array [rows, …] for"
    " each input, and for as many outputs as you like, by their names. Strings may stand at inputs,"
    " and for classes. Of each row, floats may differ by 0.1 % of the output's largest element (by"
    " 6.25 % where the model is quantized); labels must be equal, unless ROWS has the"
    " scores too and the two best are that near to each other.",
)
OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write the program file. [default: FILE with .safetensors for its ending]",
)


@dataclass(frozen=True, slots=True)
class Source:
    """A program, and the file that it was read from or lowered from."""

    file: Path
    program: Program
    digest: bytes  # of the ONNX file, `source_digest`; zeros where a program does not say it
    is_lowered: bool
    frozen: Mapping[str, int] = field(default_factory=dict)
    """The dims that the file leaves open and that nobody gave a size, and what was taken."""

    @classmethod
    def read(cls, file: Path, dims: Sequence[tuple[str, int]]) -> "Source":
        """Reads an ONNX file or a program file. Raises ModelRefused."""
        data = read_file(file)
        if not is_program(data):
            frozen = frozen_dims(data, dict(dims))
            for name, size in frozen.items():
                note = f"The file leaves the dim {name!r} open; it is {size} here: --dim {name}=N."
                show.err.print(note, markup=False)
            with show.err.status("Lowering the model to its program…"):
                program = lower(data, dict(dims), folder=file.parent)
            digest = source_digest(data, file.parent)
            return cls(file, program, digest, is_lowered=False, frozen=frozen)
        if dims:
            raise ConfigError(f"{file} is a program: its dims are fixed, so --dim says nothing.")
        return cls(file, read(file), source_hash(file) or bytes(32), is_lowered=True)

    def write(self, target: Path | None) -> Path:
        """Writes the program file, unless it is one already; gives its path."""
        if self.is_lowered:
            return self.file
        target = target or self.file.with_suffix(".safetensors")
        if target == self.file:
            raise ConfigError(f"{target} is the model itself: name another --output.")
        write_file(target, pack(self.program, self.digest))
        return target

    def model(self, publisher: Address, name: str, version: str, royalty: Wei) -> Model:
        """Gives what would be published of it."""
        program = self.program
        return Model(
            publisher,
            name,
            version,
            program.root,
            self.digest,
            program.signature,
            Assurance.EXACT,
            royalty,
        )

    def opinions(self, check: Path | None) -> "Opinions":
        """Asks onnxruntime, where the ONNX file is at hand, and the rows that were given. Raises
        ConfigError where those do not fit."""
        rows = None if check is None else Rows.read(check, self.program)
        by_rows = compare(self.program, rows) if rows is not None and rows.outputs else None
        if self.is_lowered:
            return Opinions(None, by_rows)
        inputs = random_rows(self.program.signature) if rows is None else rows.inputs[:MOST_ASKED]
        with show.err.status("Asking onnxruntime…"):
            try:
                source = whole(read_file(self.file), self.file.parent)
            except ModelRefused:  # it is longer than onnxruntime takes from memory
                return Opinions(None, by_rows)
            return Opinions(consult(self.program, source, inputs, MEMORY), by_rows)


@dataclass(frozen=True, slots=True)
class Opinions:
    """What others say of a program's results, as far as they were asked."""

    onnxruntime: Opinion | None
    rows: Opinion | None

    def lines(self) -> dict[str, str]:
        """Says it to people."""
        found = {}
        if self.onnxruntime is not None:
            found["onnxruntime"] = _of_onnxruntime(self.onnxruntime)
        if self.rows is not None:
            found["rows"] = _of_rows(self.rows)
        return found


def _of_onnxruntime(said: Opinion) -> str:
    if said.agrees:
        return f"agrees on {said.tried} inputs"
    if said.differs:
        return (
            f"differs on {said.differs} of {said.tried} inputs, and a worker that has the ONNX file"
            f" will not answer such ones. {_first(said)}"
        )
    return (
        f"has no opinion on {said.missing} of {said.tried} inputs; workers take samples by the"
        f" plain rules instead. {_first(said)}"
    )


def _of_rows(said: Opinion) -> str:
    if said.agrees:
        return f"agree, all {said.tried}"
    return f"{said.differs} of {said.tried} differ; they count from 0. {_first(said)}"


def _first(said: Opinion) -> str:
    more = (said.differs or said.missing) - len(said.first)
    return " ".join([*said.first, f"And {more} more."] if more else said.first)
