"""`exactum model`: publish models, and look at those that are published."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import click

from oracle.chain.codec import model_preimage
from oracle.chain.histories import ModelHistory
from oracle.chain.keys import Signer
from oracle.cli import programs, show
from oracle.cli.files import keep, local_dictionary, model_files, read_file
from oracle.cli.options import MODEL, MONEY, URI, deployments_option, json_option, rpc_option
from oracle.cli.session import Session, on_chain, open_session, signing
from oracle.cli.source import CHECK, DIMS, FILE, OUTPUT, Opinions, Source
from oracle.config import Settings
from oracle.errors import ConfigError, ModelRefused, Reason
from oracle.exact.program import Program
from oracle.exact.program_file import source_hash
from oracle.exact.proofs.inspect import unprovable
from oracle.exact.proofs.pursuit import rounds
from oracle.inference.files import ModelFiles
from oracle.inference.onnxruntime import Native
from oracle.types import Assurance, FileKind, FileName, Model, ModelId, Wei


@click.group()
def model() -> None:
    """Publishes models and shows those that are published.

    A model is published once: its id is the hash of everything in it, the file included.
    """


@model.command()
@FILE
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
@DIMS
@click.option(
    "--even-if-unprovable",
    is_flag=True,
    help="Publish also what has elements whose proof is beyond 2^24 gas or 128 KiB, for a chain"
    " that takes more in a transaction, or what takes more demands to prove than the times of"
    " disputes leave room for: else a lie about it may be safe, and workers decline.",
)
@OUTPUT
@CHECK
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
    check: Path | None,
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
    once, and nothing is sent then. Nor is it where the results differ from those of --check's rows.

    \b
    Examples:
      exactum model publish iris.onnx --name iris --version 1 --dim batch=1 \\
        --uri https://models.example/iris.safetensors --key publisher
      exactum model publish iris.safetensors --name iris --version 1 --key publisher
    """
    if assurance == "exact":
        source = Source.read(file, dims)
        program = source.program
        if not any(source.digest):
            raise ConfigError(
                f"{file} does not say what it was lowered from: exactum model lower writes that."
            )
        what = source.model(signer.address, name, version, royalty)
        if not even_if_unprovable:
            reasons = [*unprovable(program, model_preimage(what)), *_too_late(program, session)]
            if reasons:
                raise ModelRefused(reasons)
        opinions, frozen = source.opinions(check), dict(source.frozen)
        if opinions.rows is not None and not opinions.rows.agrees:
            raise ConfigError(f"{check}: {opinions.lines()['rows']}")
        target = source.write(output)
    else:
        opinions, frozen = Opinions(None, None), dict[str, int]()
        data = read_file(file)
        signature = Native(data, dict(dims)).signature
        digest = hashlib.sha256(data).digest()
        vanilla = Assurance.VANILLA
        what = Model(signer.address, name, version, bytes(32), digest, signature, vanilla, royalty)
        target = file
    for path in {file, target}:  # before anything is paid: there may be no room for them
        keep(model_files(session.settings), path)
    receipt = session.transact(signer, session.registry.publish(what, uri))
    model_id = session.registry.id_of(what)
    if as_json:
        published = {"model_id": model_id, "gas_used": receipt.gas_used, "model": what}
        show.print_json(published | {"file": str(target), "opinions": opinions, "frozen": frozen})
        return
    what_id, gas = show.hex_(model_id), f"{receipt.gas_used:,}"
    show.out.print(show.styled("Published [bold]{}[/], {} gas.", what_id, gas))
    show.out.print(f"It takes {show.signature(what.signature.inputs)}")
    show.out.print(f"and gives {show.signature(what.signature.outputs)}.")
    show.out.print(f"Operators run {target}, and check it against the id.")
    for by, said in opinions.lines().items():
        show.err.print(f"{by}: {said}", markup=False)
    if not uri:
        show.err.print("They cannot fetch it yet: exactum model add-uri says where it is.")


def _too_late(program: Program, session: Session) -> list[Reason]:
    """Says where a lie about the program may take longer to prove than disputes may last."""
    if session.disputes is None:
        return []
    needed, allowed = rounds(program), session.disputes.periods().rounds
    if needed <= allowed:
        return []
    why = f"a lie may take {needed} demands to prove, one after another, and {allowed} have time"
    return [Reason("", "", why, "use smaller tensors or fewer nodes, or --even-if-unprovable")]


for command in (programs.lower_, programs.inspect, programs.verify):
    model.add_command(command)


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
    """Shows everything in MODEL's id, where its file may lie, and what its classes are called.

    Names of classes, and strings that the model knows at its inputs, stand in the program file, and
    are known where that is in the local cache. The model's id does not bind them.
    """
    found, files = session.history.model(model_id), model_files(session.settings)
    if as_json:
        show.print_json(_machine(found, files))
        return
    what, where = found.model, found.published.where
    known, file = local_dictionary(what, files), files.place(what.file)
    rows: dict[str, object] = {
        "id": show.hex_(found.model_id),
        "publisher": what.publisher,
        "inputs": show.signature(what.signature.inputs),
        "outputs": show.signature(what.signature.outputs),
        **(show.dictionary(known.labels, known.categories) if known else {}),
        "assurance": what.assurance.name,
        "program root": show.hex_(what.program_root),
        "source SHA-256": what.source_hash.hex(),
        "royalty": show.ether(what.royalty),
        "URIs": show.lines(found.uris or ["none"]),
        "file here": file or "none; exactum audit fetches it, exactum model add-file adds it",
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
    files = model_files(session.settings)
    if as_json:
        show.print_json([_machine(each, files) for each in found])
        return
    for each in found:
        what = each.model
        known = local_dictionary(what, files)
        rows: dict[str, object] = {
            "id": show.hex_(each.model_id),
            "inputs": show.signature(what.signature.inputs),
            "outputs": show.signature(what.signature.outputs),
            **(show.dictionary(known.labels, known.categories) if known else {}),
            "terms": f"{what.assurance.name}, royalty {show.ether(what.royalty)}",
        }
        if each.is_deprecated:
            rows["deprecated"] = "yes"
        show.print_fields(f"{what.name} {what.version}", rows)
    if not found:
        show.out.print("There are no models yet: exactum model publish publishes one.")


@model.command(name="add-file")
@FILE
@rpc_option("A node that is asked to which models FILE belongs. [default: none is asked]")
@deployments_option
def add_file(file: Path, rpc: Sequence[str], deployments: Path | None) -> None:
    """Puts FILE into the local cache, where worker and audit look before they fetch.

    FILE is a program file, or the ONNX file that one was lowered from, with what that keeps in
    other files of its folder: a worker that has it asks onnxruntime for a second opinion on each of
    its own results. No node is asked, unless --rpc names one.

    \b
    Examples:
      exactum model add-file iris.safetensors
      exactum model add-file iris.onnx --rpc https://…
    """
    files = model_files(Settings())
    name = keep(files, file)
    lowered = files.programs_of(name) if name.kind is FileKind.ONNX else []
    show.out.print(f"Kept {name}, {_called(files, name, lowered)}.")
    if name.kind is FileKind.ONNX and not lowered:
        show.err.print(
            "No program file here says that it was lowered from it: exactum model lower writes"
            " one, and workers run that."
        )
    if rpc:
        session = open_session(rpc, deployments)
        found = [each for each in session.history.models() if _is_of(each.model, name)]
        for each in found:
            what = each.model
            show.out.print(f"It is of {what.name} {what.version}, {show.hex_(each.model_id)}.")
        if not found:
            show.err.print(f"It is of no model on {session.chain.name}.")


def _called(files: ModelFiles, name: FileName, lowered: Sequence[FileName]) -> str:
    """Says what a file of the cache is. `lowered` are the programs of an ONNX file."""
    if name.kind is FileKind.PROGRAM:
        path = files.path(name)
        source = source_hash(path) if path is not None else None
        of_it = f", said to be lowered from SHA-256 {source.hex()}" if source else ""
        return f"the program of root {show.hex_(name.digest)}{of_it}"
    roots = [show.hex_(each.digest) for each in lowered]
    of_it = f", the source of the program of root {', '.join(roots)}" if roots else ""
    return f"an ONNX file of SHA-256 {name.digest.hex()}{of_it}"


def _is_of(model: Model, name: FileName) -> bool:
    return name in (model.file, model.source)


def _machine(found: ModelHistory, files: ModelFiles) -> dict[str, object]:
    known, file = local_dictionary(found.model, files), files.place(found.model.file)
    return {
        "model_id": found.model_id,
        "model": found.model,
        "uris": found.uris,
        "is_deprecated": found.is_deprecated,
        "successor": found.successor,
        "block": found.published.where.block,
        "file": None if file is None else str(file),
        "labels": None if known is None else list(known.labels),
        "categories": None if known is None else list(known.categories),
    }
