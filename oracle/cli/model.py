"""`exactum model`: publish models, and look at those that are published."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table

from oracle.chain.codec import ZERO_ADDRESS, model_preimage
from oracle.chain.history import ModelHistory
from oracle.chain.keys import Signer
from oracle.cli import show
from oracle.cli.files import model_files, read_file, write_file
from oracle.cli.options import DIM, MODEL, MONEY, URI, json_option
from oracle.cli.session import Session, on_chain, signing
from oracle.config import Settings
from oracle.errors import ConfigError, ModelRefused, Reason
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from oracle.exact.program_file import is_program, pack, read, source_hash
from oracle.exact.proofs.inspect import Inspection, unprovable
from oracle.exact.proofs.inspect import inspect as inspect_program
from oracle.exact.proofs.pursuit import rounds
from oracle.inference.engine import dims_of
from oracle.inference.onnxruntime import Native
from oracle.types import Address, Assurance, Model, ModelId, Wei


@click.group()
def model() -> None:
    """Publishes models and shows those that are published.

    A model is published once: its id is the hash of everything in it, the file included.
    """


@model.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", required=True, help="What people call the model.")
@click.option("--version", required=True, help="Of the model; another version has another id.")
@click.option(
    "--uri",
    type=URI,
    default="",
    help="Where the program file (of vanilla: FILE) can be had: https://… or ipfs://….",
)
@click.option(
    "--assurance",
    type=click.Choice(["exact", "vanilla"]),
    default="exact",
    show_default=True,
    help="exact: every result is defined bit by bit and can be proved wrong on chain."
    " vanilla: onnxruntime's result, which no referee can judge.",
)
@click.option(
    "--royalty",
    type=MONEY,
    default="0wei",
    show_default=True,
    help="What you get out of the fee of each inference.",
)
@click.option(
    "--dim",
    "dims",
    type=DIM,
    multiple=True,
    help="Size of a dimension that the file leaves open. May be repeated.",
)
@click.option(
    "--even-if-unprovable",
    is_flag=True,
    help="Publish also what has elements whose proof is beyond 2^24 gas or 128 KiB, for a chain"
    " that takes more in a transaction, or what takes more demands to prove than the times of"
    " disputes leave room for: else a lie about it may be safe, and workers decline.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write the program file. [default: FILE with .safetensors for its ending]",
)
@on_chain
@signing
@json_option
def publish(
    file: Path,
    name: str,
    version: str,
    uri: str,
    assurance: str,
    royalty: Wei,
    dims: Sequence[tuple[str, int]],
    even_if_unprovable: bool,
    output: Path | None,
    session: Session,
    signer: Signer,
    as_json: bool,
) -> None:
    """Publishes the model in FILE: an ONNX file, or a program file that was lowered from one.

    What is published, and what workers run, is the program. Of an ONNX file it is written beside
    it, as exactum model lower does: put that file where operators can fetch it, and give its URI.
    Whoever fetches it checks it against the root in the model's id. The ONNX file stays with you;
    its hash is in the id. A model with an op outside the law is refused, and one with an element
    whose proof fits in no transaction, for a lie about that would be safe; with every reason at
    once, and nothing is sent then.

    \b
    Examples:
      exactum model publish iris.onnx --name iris --version 1 --dim batch=1 \\
        --uri https://models.example/iris.safetensors --key publisher
      exactum model publish iris.safetensors --name iris --version 1 --key publisher
    """
    if assurance == "exact":
        source = _Source.read(file, dims)
        program = source.program
        if not any(source.digest):
            raise ConfigError(
                f"{file} does not say what it was lowered from: exactum model lower writes that."
            )
        what = _model(signer.address, name, version, source, royalty)
        if not even_if_unprovable:
            reasons = [*unprovable(program, model_preimage(what)), *_too_late(program, session)]
            if reasons:
                raise ModelRefused(reasons)
        target = source.write(output)
    else:
        data = read_file(file)
        signature = Native(data, dict(dims)).signature
        digest = hashlib.sha256(data).digest()
        vanilla = Assurance.VANILLA
        what = Model(signer.address, name, version, bytes(32), digest, signature, vanilla, royalty)
        target = file
    receipt = session.transact(signer, session.registry.publish(what, uri))
    model_id = session.registry.id_of(what)
    for path in {file, target}:
        model_files(session.settings).add(path)
    if as_json:
        said = {"model_id": model_id, "gas_used": receipt.gas_used, "model": what}
        show.print_json(said | {"file": str(target)})
        return
    what_id, gas = show.hex_(model_id), f"{receipt.gas_used:,}"
    show.out.print(show.styled("Published [bold]{}[/], {} gas.", what_id, gas))
    show.out.print(f"It takes {show.signature(what.signature.inputs)}")
    show.out.print(f"and gives {show.signature(what.signature.outputs)}.")
    show.out.print(f"Operators run {target}, and check it against the id.")
    if not uri:
        show.err.print("They cannot fetch it yet: exactum model add-uri says where it is.")


@dataclass(frozen=True, slots=True)
class _Source:
    """A program, and the file that it was read from or lowered from."""

    file: Path
    program: Program
    digest: bytes  # SHA-256 of the ONNX file; zeros where a program does not say it
    is_lowered: bool

    @classmethod
    def read(cls, file: Path, dims: Sequence[tuple[str, int]]) -> "_Source":
        """Reads an ONNX file or a program file. Raises ModelRefused."""
        data = read_file(file)
        if not is_program(data):
            with show.err.status("Lowering the model to its program…"):
                program = lower(data, dict(dims))
            return cls(file, program, hashlib.sha256(data).digest(), is_lowered=False)
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


def _model(publisher: Address, name: str, version: str, source: _Source, royalty: Wei) -> Model:
    program = source.program
    return Model(
        publisher,
        name,
        version,
        program.root,
        source.digest,
        program.signature,
        Assurance.EXACT,
        royalty,
    )


def _too_late(program: Program, session: Session) -> list[Reason]:
    """Says where a lie about the program may take longer to prove than disputes may last."""
    if session.disputes is None:
        return []
    needed, allowed = rounds(program), session.disputes.periods().rounds
    if needed <= allowed:
        return []
    why = f"a lie may take {needed} demands to prove, one after another, and {allowed} have time"
    return [Reason("", "", why, "use smaller tensors or fewer nodes, or --even-if-unprovable")]


_FILE = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
_DIMS = click.option(
    "--dim",
    "dims",
    type=DIM,
    multiple=True,
    help="Size of a dimension that the file leaves open. May be repeated.",
)


@model.command(name="lower")
@_FILE
@_DIMS
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it. [default: FILE with .safetensors for its ending]",
)
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
    source = _Source.read(file, dims)
    if source.is_lowered:
        raise ConfigError(f"{file} is a program file already.")
    target = source.write(output)
    root, size = source.program.root, target.stat().st_size
    if as_json:
        show.print_json({"file": str(target), "bytes": size, "program_root": root})
        return
    show.out.print(f"{target}: {size:,} bytes, program root {show.hex_(root)}")


@model.command()
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
    digest = hashlib.sha256(data).digest()
    root = bytes(32)
    if what.assurance is Assurance.EXACT:
        with show.err.status("Lowering the model to its program…"):
            root = lower(data, dims_of(data, what.signature)).root
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
        same, other = "as in the id", "[red]not[/] that of the id"
        rows = {
            "source SHA-256": f"{digest.hex()}, {same if is_source else other}",
            "program root": f"{show.hex_(root)}, {same if is_program_ else other}",
        }
        show.print_fields(f"{what.name} {what.version}", rows)
    if not (is_source and is_program_):
        sys.exit(1)


@model.command()
@_FILE
@_DIMS
@json_option
def inspect(file: Path, dims: Sequence[tuple[str, int]], as_json: bool) -> None:
    """Shows the program that the ONNX model in FILE means, and what it costs.

    What each op is lowered into, the work of one run, and the element that is the dearest to prove
    wrong on chain, in one transaction with all that it opens. Of a model outside the law every
    reason is named. FILE may also be a program file, as exactum model lower writes it.
    No chain and no key is needed.

    \b
    Example:
      exactum model inspect iris.onnx --dim batch=1
    """
    try:
        source = _Source.read(file, dims)
    except ModelRefused as refused:
        if not as_json:
            raise
        show.print_json({"refused": list(refused.reasons)})
        sys.exit(1)
    program = source.program
    # As it would be published, but for its names and its publisher.
    model = _model(ZERO_ADDRESS, file.stem, "1", source, Wei(0))
    data = b"" if source.is_lowered else file.read_bytes()
    found = inspect_program(data, program, model_preimage(model))
    if as_json:
        show.print_json(
            {
                "source_hash": source.digest.hex(),
                "program_root": program.root,
                "inputs": list(program.signature.inputs),
                "outputs": list(program.signature.outputs),
                "inspection": found,
                "dearest_gas": found.dearest.gas,
            }
        )
        return
    _print_inspection(file, program, found)


@model.command(name="add-uri")
@click.argument("model_id", type=MODEL, metavar="MODEL")
@click.argument("uri", type=URI)
@on_chain
@signing
def add_uri(
    model_id: ModelId,
    uri: str,
    session: Session,
    signer: Signer,
) -> None:
    """Says where MODEL's program file can be had as well. Only its publisher may."""
    session.transact(signer, session.registry.add_uri(model_id, uri))
    show.out.print("Added.")


@model.command()
@click.argument("model_id", type=MODEL, metavar="MODEL")
@click.option("--successor", type=MODEL, help="The model to use instead.")
@on_chain
@signing
def deprecate(
    model_id: ModelId,
    successor: ModelId | None,
    session: Session,
    signer: Signer,
) -> None:
    """Says that MODEL should no longer be used. Only its publisher may.

    It goes on working: a publisher cannot stop a contract that uses it.
    """
    session.transact(signer, session.registry.deprecate(model_id, successor))
    show.out.print("Deprecated.")


@model.command(name="show")
@click.argument("model_id", type=MODEL, metavar="MODEL")
@on_chain
@json_option
def show_(model_id: ModelId, session: Session, as_json: bool) -> None:
    """Shows everything in MODEL's id, and where its file may lie."""
    found = session.history.model(model_id)
    if as_json:
        show.print_json(_machine(found))
        return
    what, where = found.model, found.published.where
    rows: dict[str, object] = {
        "id": show.hex_(found.model_id),
        "publisher": what.publisher,
        "inputs": show.signature(what.signature.inputs),
        "outputs": show.signature(what.signature.outputs),
        "assurance": what.assurance.name,
        "program root": show.hex_(what.program_root),
        "source SHA-256": what.source_hash.hex(),
        "royalty": show.ether(what.royalty),
        "URIs": show.lines(found.uris or ["none"]),
        "published": f"block {where.block}, {show.when(where.time)}",
    }
    if found.is_deprecated:
        use = f"use {show.hex_(found.successor)}" if found.successor else "no successor named"
        rows["deprecated"] = use
    show.print_fields(f"{what.name} {what.version}", rows)


@model.command(name="list")
@on_chain
@json_option
def list_(session: Session, as_json: bool) -> None:
    """Lists the models that are published, the oldest first."""
    with show.err.status("Reading the chain…"):
        found = session.history.models()
    if as_json:
        show.print_json([_machine(each) for each in found])
        return
    table = Table("id", "name", "assurance", "inputs", "outputs", "royalty", "deprecated")
    for each in found:
        what = each.model
        table.add_row(
            show.hex_(each.model_id),
            f"{what.name} {what.version}",
            what.assurance.name,
            show.signature(what.signature.inputs),
            show.signature(what.signature.outputs),
            show.ether(what.royalty),
            "yes" if each.is_deprecated else "",
        )
    show.out.print(table)


@model.command(name="add-file")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def add_file(file: Path) -> None:
    """Puts FILE into the local cache, where worker and audit look before they fetch.

    FILE is a program file, or the ONNX file that one was lowered from: a worker that has it asks
    onnxruntime for a second opinion on each of its own results.
    """
    try:
        name = model_files(Settings()).add(file)
    except ModelRefused as refused:
        raise ConfigError(f"{file} is no whole program file: {refused.reasons[0].why}.") from None
    show.out.print(f"Kept {name}.")


def _print_inspection(file: Path, program: Program, found: Inspection) -> None:
    dearest = found.dearest
    nodes = sum(share.nodes for share in found.primitives)
    rows = {
        "inputs": show.signature(program.signature.inputs),
        "outputs": show.signature(program.signature.outputs),
        "program root": show.hex_(program.root),
        "primitives": f"{nodes:,} nodes",
        "work": f"{found.steps:,} multiply-adds, or work like it, a run",
        "weights": f"{found.weight_bytes:,} bytes",
        "live tensors": f"{found.live_bytes:,} bytes at most",
        "dearest proof": f"{dearest.gas:,} gas: an element of {dearest.name!r} ({dearest.op.name},"
        f" node {dearest.node}), {dearest.steps:,} multiply-adds, {dearest.leaves:,} leaves",
        "longest dispute": f"{found.rounds} demands, one after another's answer",
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


def _machine(found: ModelHistory) -> dict[str, object]:
    return {
        "model_id": found.model_id,
        "model": found.model,
        "uris": found.uris,
        "is_deprecated": found.is_deprecated,
        "successor": found.successor,
        "block": found.published.where.block,
    }
