"""`exactum model lower`, `inspect` and `verify`: what an ONNX file means, without publishing it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from oracle.chain.codec import ZERO_ADDRESS, model_preimage
from oracle.cli import show
from oracle.cli.files import file_name, read_onnx, source_name
from oracle.cli.options import MODEL, json_option
from oracle.cli.session import Session, on_chain
from oracle.cli.source import CHECK, DIMS, FILE, OUTPUT, Opinions, Source
from oracle.errors import ConfigError, ModelRefused, Reason
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.program_file import source_hash
from oracle.exact.proofs.inspect import Inspection
from oracle.exact.proofs.inspect import inspect as inspect_program
from oracle.inference.engine import dims_of
from oracle.types import Assurance, FileKind, FileName, Model, ModelId, Wei


@click.command(name="lower")
@FILE
@DIMS
@OUTPUT
@json_option
def lower_(file: Path, dims: Sequence[tuple[str, int]], output: Path | None, as_json: bool) -> None:
    """Writes the program that the ONNX model in FILE means, as a file of its own.

    That file is what exactum model publish publishes and what workers run. The program root of a
    model's id is computed from what stands in it, so it certifies itself whoever gave it;
    docs/exact.md says what that is. No chain and no key is needed.

    \b
    Examples:
      exactum model lower iris.onnx --dim batch=1
      exactum model inspect iris.safetensors
    """
    source = Source.read(file, dims)
    if source.is_lowered:
        raise ConfigError(f"{file} is a program file already.")
    target = source.write(output)
    root, size = source.program.root, target.stat().st_size
    if as_json:
        said = {"file": str(target), "bytes": size, "program_root": root}
        show.print_json(said | {"frozen": dict(source.frozen)})
        return
    show.out.print(f"{target}: {size:,} bytes, program root {show.hex_(root)}")


@click.command()
@click.argument("model_id", type=MODEL, metavar="MODEL")
@click.option(
    "--source",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The ONNX file that MODEL is said to be lowered from, or a program file.",
)
@on_chain
@json_option
def verify(model_id: ModelId, source: Path, session: Session, as_json: bool) -> None:
    """Says whether the ONNX file is MODEL's source: whether its hash is the id's, and whether this
    version of exactum lowers it to MODEL's program.

    The program is what is run and judged. A source that gives another one is no proof that anybody
    lied: another version may have lowered it. Exits with 1 where one of the two does not hold. Of a
    program file it says whether it is MODEL's program, and exits with 1 where it is not.

    \b
    Example:
      exactum model verify 0x1f… --source iris.onnx
    """
    what = session.history.model(model_id).model
    name = file_name(source)
    seen = _of_program(source, name) if name.kind is FileKind.PROGRAM else _of_source(source, what)
    is_source = seen.digest == what.source_hash and not seen.is_lowered  # which it only says
    gives_program = seen.root == what.program_root
    if as_json:
        show.print_json(
            {
                "model_id": model_id,
                "is_program_file": seen.is_lowered,
                "source_hash": seen.digest.hex() if seen.digest else None,
                "program_root": seen.root,
                "refused": list(seen.refused),
                "is_source": is_source,
                "gives_program": gives_program,
            }
        )
    else:
        show.print_fields(f"{what.name} {what.version}", seen.rows(what))
    if not (gives_program and (is_source or seen.is_lowered)):
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a file is that somebody says to be a model's source: `root` is that of its program, or
    None where the lowering refused it. A program file only says the `digest` of its source."""

    digest: bytes | None
    root: bytes | None
    refused: tuple[Reason, ...] = ()
    is_lowered: bool = False

    def rows(self, what: Model) -> dict[str, object]:
        """Compares it with the model's id, for people."""
        rows: dict[str, object] = {}
        if self.is_lowered:
            rows["file"] = "a program file"
        if self.digest is not None:
            source = self.digest.hex() + (" as it says" if self.is_lowered else "")
            rows["source SHA-256"] = _compared(source, self.digest == what.source_hash)
        if self.root is None:
            rows["lowering"] = show.lines(["refused:", *map(str, self.refused)])
        else:
            rows["program root"] = _compared(show.hex_(self.root), self.root == what.program_root)
        return rows


def _compared(text: str, is_same: bool) -> Text:
    # Behind a blank, where a narrow terminal may go on in the next line.
    return show.styled("{} (as in the id)" if is_same else "{} ([red]not[/] that of the id)", text)


def _of_program(file: Path, name: FileName) -> _Seen:
    return _Seen(source_hash(file), name.digest, is_lowered=True)


def _of_source(file: Path, what: Model) -> _Seen:
    data = read_onnx(file)
    digest = source_name(file, data).digest
    if what.assurance is Assurance.VANILLA:
        return _Seen(digest, bytes(32))
    try:
        with show.err.status("Lowering the model to its program…"):
            program = lower(data, dims_of(data, what.signature), folder=file.parent)
        return _Seen(digest, program.root)
    except ModelRefused as refused:
        return _Seen(digest, None, refused.reasons)


@click.command()
@FILE
@DIMS
@CHECK
@json_option
def inspect(file: Path, dims: Sequence[tuple[str, int]], check: Path | None, as_json: bool) -> None:
    """Shows the program that the ONNX model in FILE means, and what it costs.

    What each op is lowered into, the work of one run, and the element that is the dearest to prove
    wrong on chain, in one transaction with all that it opens. Of a model outside the law every
    reason is named. onnxruntime is asked for a second opinion on some random inputs, or on the rows
    that --check gives. FILE may also be a program file, as exactum model lower writes it: names,
    classes and strings at inputs are then what FILE says, and no root binds them. No chain and no
    key is needed. Exits with 1 where the model is refused, or where results differ from those of
    --check's rows.

    \b
    Examples:
      exactum model inspect iris.onnx --dim batch=1
      exactum model inspect iris.onnx --check rows.npz
    """
    try:
        source = Source.read(file, dims)
    except ModelRefused as refused:
        if not as_json:
            raise
        show.print_json({"refused": list(refused.reasons)})
        sys.exit(1)
    program = source.program
    # As it would be published, but for its names and its publisher.
    model = source.model(ZERO_ADDRESS, file.stem, "1", Wei(0))
    data = b"" if source.is_lowered else file.read_bytes()
    found = inspect_program(data, program, model_preimage(model))
    opinions = source.opinions(check)
    if as_json:
        show.print_json(
            {
                "source_hash": source.digest.hex(),
                "program_root": program.root,
                "inputs": list(program.signature.inputs),
                "outputs": list(program.signature.outputs),
                "labels": list(program.labels),
                "categories": list(program.categories),
                "frozen": dict(source.frozen),
                "inspection": found,
                "opinions": opinions,
                "dearest_gas": found.dearest.gas,
            }
        )
    else:
        _print_inspection(file, program, found, opinions)
    if opinions.rows is not None and not opinions.rows.agrees:
        sys.exit(1)


def _print_inspection(file: Path, program: Program, found: Inspection, opinions: Opinions) -> None:
    dearest = found.dearest
    nodes = sum(share.nodes for share in found.primitives)
    rows = {
        "inputs": show.signature(program.signature.inputs),
        "outputs": show.signature(program.signature.outputs),
        **show.dictionary(program.labels, program.categories),
        "program root": show.hex_(program.root),
        "primitives": f"{nodes:,} nodes",
        "work": f"{found.steps:,} multiply-adds, or work like it, a run",
        "weights": f"{found.weight_bytes:,} bytes",
        "live tensors": f"{found.live_bytes:,} bytes at most",
        "dearest proof": f"{dearest.gas:,} gas: an element of {dearest.name!r} ({dearest.op.name},"
        f" node {dearest.node}), {dearest.steps:,} multiply-adds, {dearest.leaves:,} leaves",
        "longest dispute": f"{found.rounds} demands, one after another's answer",
        **opinions.lines(),
    }
    show.print_fields(file.name, rows)
    if found.lowered:
        show.out.print(_lowered(found))
    for reason in found.unprovable:
        show.err.print(f"Cannot be published as EXACT: {reason}")
    table = Table("primitive", "nodes", "elements", "multiply-adds")
    for share in found.primitives:
        table.add_row(share.op.name, f"{share.nodes:,}", f"{share.elements:,}", f"{share.steps:,}")
    show.out.print(table)


def _lowered(found: Inspection) -> Table:
    table = Table("ONNX op", "nodes", "lowered into")
    for each in found.lowered:
        into = ", ".join(f"{count:,} {name}" for name, count in each.into.items())
        table.add_row(each.op, f"{each.nodes:,}", into or "no node: folded, or read in place")
    return table
