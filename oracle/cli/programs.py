"""`exactum model lower`, `inspect` and `verify`: what an ONNX file means, without publishing it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from oracle.chain.codec import ZERO_ADDRESS, model_preimage
from oracle.cli import show
from oracle.cli.files import read_file
from oracle.cli.options import MODEL, json_option
from oracle.cli.session import Session, on_chain
from oracle.cli.source import CHECK, DIMS, FILE, OUTPUT, Opinions, Source
from oracle.errors import ConfigError, ModelRefused
from oracle.exact.lowering.external import source_digest
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.proofs.inspect import Inspection
from oracle.exact.proofs.inspect import inspect as inspect_program
from oracle.inference.engine import dims_of
from oracle.types import Assurance, ModelId, Wei


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
    help="The ONNX file that MODEL is said to be lowered from.",
)
@on_chain
@json_option
def verify(model_id: ModelId, source: Path, session: Session, as_json: bool) -> None:
    """Says whether the ONNX file is MODEL's source: whether its hash is the id's, and whether this
    version of exactum lowers it to MODEL's program.

    The program is what is run and judged. A source that gives another one is no proof that anybody
    lied: another version may have lowered it. Exits with 1 where one of the two does not hold.

    \b
    Example:
      exactum model verify 0x1f… --source iris.onnx
    """
    what = session.history.model(model_id).model
    data = read_file(source)
    digest = source_digest(data, source.parent)
    root = bytes(32)
    if what.assurance is Assurance.EXACT:
        with show.err.status("Lowering the model to its program…"):
            dims = dims_of(data, what.signature)
            root = lower(data, dims, folder=source.parent).root
    is_source, is_program_ = digest == what.source_hash, root == what.program_root
    if as_json:
        show.print_json(
            {
                "model_id": model_id,
                "source_hash": digest.hex(),
                "program_root": root,
                "is_source": is_source,
                "gives_program": is_program_,
            }
        )
    else:
        same, other = "{}, as in the id", "{}, [red]not[/] that of the id"
        rows = {
            "source SHA-256": show.styled(same if is_source else other, digest.hex()),
            "program root": show.styled(same if is_program_ else other, show.hex_(root)),
        }
        show.print_fields(f"{what.name} {what.version}", rows)
    if not (is_source and is_program_):
        sys.exit(1)


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
    that --check gives. FILE may also be a program file, as exactum model lower writes it.
    No chain and no key is needed.

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
        return
    _print_inspection(file, program, found, opinions)


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
