"""`exactum audit`: re-runs a result from chain data and the model file alone."""

from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table

from oracle.chain.history import ModelHistory, RequestHistory
from oracle.cli import show
from oracle.cli.files import model_path
from oracle.cli.options import REQUEST, json_option
from oracle.cli.session import Session, on_chain
from oracle.errors import NotFound
from oracle.executor import Executor
from oracle.inference import Job, load
from oracle.tensor import Array, decode
from oracle.types import Assurance, Model, RequestId, TensorType

SHOWN = 30  # rows of the table


@dataclass(frozen=True, slots=True)
class Element:
    """One output element: its bits as claimed and as recomputed."""

    tensor: str
    index: int
    claimed: str
    recomputed: str
    claimed_bits: str
    recomputed_bits: str

    @property
    def matches(self) -> bool:
        return self.claimed_bits == self.recomputed_bits


@click.command()
@click.argument("request_id", type=REQUEST, metavar="REQUEST")
@click.option(
    "--model",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The model's file, if you have it. [default: the cache, then the model's URIs]",
)
@on_chain
@json_option
def audit(
    request_id: RequestId,
    file: Path | None,
    session: Session,
    as_json: bool,
) -> None:
    """Re-runs REQUEST and compares the proposed output with yours, element by element.

    It trusts nobody: the input and the claim come from the chain, the model is checked against the
    hash in its id, and the law gives the same bits on every machine. Exits with 1 on a mismatch.
    """
    history = session.history
    found = history.request(request_id)
    if found.proposed is None:
        raise NotFound("There is nothing to audit: no result is proposed for this request.")
    model = history.model(found.created.request.model)
    path = model_path(model, file, session.settings)
    with show.err.status("Running the model…"):
        output = rerun(path, model.model, found.created.payload)
    elements = compare(found.proposed.output, output, model.model.signature.outputs)
    wrong = [element for element in elements if not element.matches]
    if as_json:
        show.print_json(
            {
                "request_id": request_id,
                "model_id": model.model_id,
                "operator": found.proposed.proposal.operator,
                "assurance": model.model.assurance,
                "matches": not wrong,
                "elements": len(elements),
                "mismatches": wrong,
            }
        )
    else:
        _print(found, model, elements, wrong)
    click.get_current_context().exit(1 if wrong else 0)


def rerun(path: Path, model: Model, payload: bytes) -> bytes:
    """The output as we compute it."""
    if model.assurance is Assurance.EXACT:
        return load(path.read_bytes(), model).infer(payload)
    # A hostile file can kill the process that onnxruntime runs in.
    with Executor(processes=1) as executor:
        terms = (model.file_hash, model.program_root, model.signature, model.assurance)
        return executor.infer(Job(path, *terms, payload))


def compare(claimed: bytes, recomputed: bytes, tensors: tuple[TensorType, ...]) -> list[Element]:
    """Element by element, by the bits as they stand in the payload: the claim is not made canonical
    first, for a negative zero is a wrong result."""
    elements = []
    offset = 0
    for tensor in tensors:
        size = tensor.dtype.itemsize
        values = _values(claimed, recomputed, offset, tensor)
        for index, (value, own) in enumerate(values):
            place = slice(offset + index * size, offset + (index + 1) * size)
            bits = claimed[place].hex(), recomputed[place].hex()
            elements.append(Element(tensor.name, index, str(value), str(own), *bits))
        offset += tensor.nbytes
    return elements


def _values(
    claimed: bytes, recomputed: bytes, offset: int, tensor: TensorType
) -> list[tuple[object, object]]:
    def read(payload: bytes) -> Array:
        return decode(payload[offset : offset + tensor.nbytes], (tensor,))[0].ravel()

    return list(zip(read(claimed), read(recomputed), strict=True))


def _print(
    found: RequestHistory, model: ModelHistory, elements: list[Element], wrong: list[Element]
) -> None:
    shown = wrong or elements
    table = Table("element", "claimed", "bits", "recomputed", "bits", "")
    for element in shown[:SHOWN]:
        table.add_row(
            f"{element.tensor}[{element.index}]",
            element.claimed,
            element.claimed_bits,
            element.recomputed,
            element.recomputed_bits,
            "[green]equal[/]" if element.matches else "[red]DIFFERENT[/]",
        )
    show.out.print(table)
    if len(shown) > SHOWN:
        show.out.print(f"… and {len(shown) - SHOWN} more")
    name = f"{model.model.name} {model.model.version}"
    if wrong:
        show.out.print(
            f"[red]MISMATCH[/]: {len(wrong)} of {len(elements)} elements of {name} are not what"
            " it computes."
        )
        if model.model.assurance is Assurance.VANILLA:
            show.out.print("The model is VANILLA: other hardware may differ in the last digits.")
    else:
        show.out.print(f"[green]MATCH[/]: all {len(elements)} elements of {name}, every bit.")
