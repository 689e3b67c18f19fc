"""`exactum audit`: re-runs results from chain data and model files alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from oracle.audit.auditor import reason
from oracle.chain.events import ResultProposed
from oracle.chain.histories import ModelHistory, RequestHistory
from oracle.chain.proposals import Fate
from oracle.cli import show
from oracle.cli.evidence import gather, verify, write
from oracle.cli.files import model_path
from oracle.cli.options import (
    ACCOUNT,
    MODEL_OR_FILE,
    PERIOD,
    REQUEST,
    chain_options,
    json_option,
    local_files_option,
)
from oracle.cli.session import Session, open_session
from oracle.cli.sweep import UNCHECKED, WRONG, Limits, scope, sweep
from oracle.errors import ModelError, PayloadError
from oracle.inference.comparison import Element, compare
from oracle.inference.engine import Job
from oracle.inference.executor import Executor
from oracle.types import Address, Assurance, Model, RequestId

SHOWN = 30  # rows of the table
_ENDED = {
    Fate.SLASHED: "[red]SLASHED[/]: its operator lost the bond for it; exactum dispute show tells"
    " how.",
    Fate.VOID: "[yellow]VOID[/]: its operator was slashed for another result.",
}


@click.command()
@click.argument("request_id", type=REQUEST, metavar="[REQUEST]", required=False)
@click.option(
    "--from-block",
    type=click.IntRange(min=0),
    help="The first block of the range. [default: the deployment's first]",
)
@click.option(
    "--to-block",
    type=click.IntRange(min=0),
    help="The last block of the range. [default: the chain's last]",
)
@click.option(
    "--model",
    "models",
    type=MODEL_OR_FILE,
    multiple=True,
    help="With an id: audit results of this model only. With a file: the model's program file, if"
    " you have it; others come from the cache, then from the model's URIs. May be repeated.",
)
@click.option(
    "--operator",
    "operators",
    type=ACCOUNT,
    multiple=True,
    help="Audit results of this operator only. May be repeated.",
)
@click.option(
    "--proposal",
    "number",
    type=click.IntRange(min=1),
    help="With REQUEST, of several proposals, since a slash opens a request again: 1 is the first."
    " [default: the last]",
)
@click.option(
    "--export",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With REQUEST: write all evidence about its result to FILE, a ZIP archive that anyone can"
    " verify without a node. The same evidence is the same bytes.",
)
@click.option(
    "--without-file",
    is_flag=True,
    help="With --export: leave the model's file out; who verifies needs it from elsewhere.",
)
@click.option(
    "--verify",
    "evidence",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Verify a file that --export wrote, with no node: every hash and opening, the proof, and"
    " the model run again. With --rpc also that the node has the logs that it names.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="Inferences at once; each child process loads a model once.",
)
@click.option(
    "--time-limit",
    type=PERIOD,
    default="10m",
    show_default=True,
    help="For one inference; a result that takes longer is not checked.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="MiB for one inference.",
)
@local_files_option
@chain_options
@json_option
def audit(
    request_id: RequestId | None,
    from_block: int | None,
    to_block: int | None,
    models: Sequence[bytes | Path],
    operators: Sequence[Address],
    number: int | None,
    target: Path | None,
    without_file: bool,
    evidence: Path | None,
    processes: int,
    time_limit: int,
    memory_limit: int,
    allow_local_files: bool,
    rpc: Sequence[str],
    deployments: Path | None,
    as_json: bool,
) -> None:
    """Re-runs results and compares every bit with what operators proposed.

    It trusts nobody: inputs and claims come from the chain, models are checked against the hash in
    their id, and the law gives the same bits on every machine. No key is needed.

    With REQUEST, that one result, element by element. Without, every result that was proposed in a
    range of blocks, also those that were slashed, voided or settled since: a line each, with what
    became of it by the end of the range, and the first element that is wrong.

    With --verify, what another exported: whether the evidence holds, right or wrong as the result
    may be. No node is asked, unless --rpc names one.

    \b
    Examples:
      exactum audit                                    all that ever happened
      exactum audit --from-block 21000000 --operator 0xf39F…2266
      exactum audit --model 0x1f… --json > audit.json
      exactum audit 0x7c…                              one result
      exactum audit 0x7c… --model iris.safetensors     with a program file that you have
      exactum audit 0x7c… --proposal 1                 the first that was proposed for it
      exactum audit 0x7c… --export evidence.zip        for somebody else to verify
      exactum audit --verify evidence.zip              their side
      exactum audit --verify evidence.zip --rpc https://…  and whether it was proposed at all

    \b
    Exit codes:
      0  all results are equal, every bit; with --verify: the evidence holds
      1  a result is wrong, or evidence does not hold; or the command failed, and said why
         in a sentence
      3  none of that, but not all could be checked: a VANILLA model (with REQUEST, one
         that gives other bits here), a file that nobody serves, a file that holds no
         program of the law, an inference beyond the limits
    """
    files = [each for each in models if isinstance(each, Path)]
    ids = [each for each in models if isinstance(each, bytes)]
    has_range = from_block is not None or to_block is not None or bool(operators or ids)
    _check_usage(request_id, number, evidence, target, without_file, has_range, len(files))
    limits = Limits(processes, time_limit, memory_limit << 20)
    file = files[0] if files else None
    if evidence is not None:
        code = verify(evidence, file, rpc, limits, as_json)
    elif request_id is not None:
        session = open_session(rpc, deployments)
        asked = Asked(request_id, number, file, target, not without_file, allow_local_files)
        code = _one(session, asked, limits, as_json)
    else:
        session = open_session(rpc, deployments)
        meant = scope(session, from_block, to_block, ids, operators)
        code = sweep(session, meant, files, limits, allow_local_files, as_json)
    click.get_current_context().exit(code)


def _check_usage(
    request_id: RequestId | None,
    number: int | None,
    evidence: Path | None,
    target: Path | None,
    without_file: bool,
    has_range: bool,
    files: int,
) -> None:
    """Checks which of three commands is meant: a range, one REQUEST, or one file to verify. Raises
    UsageError where the options do not go together."""
    if request_id is not None and evidence is not None:
        raise click.UsageError("--verify reads a file: it takes no REQUEST.")
    if (request_id or evidence) and has_range:
        raise click.UsageError("This is about one result: it takes no range and no filter.")
    if (request_id or evidence) and files > 1:
        raise click.UsageError("One result has one model: give one file.")
    if target is not None and request_id is None:
        raise click.UsageError("--export is about one result: give its REQUEST.")
    if target is not None and not target.name:
        raise click.UsageError("--export needs the name of a file.")
    if number is not None and request_id is None:
        raise click.UsageError("--proposal is one of those for a request: give its REQUEST.")
    if without_file and target is None:
        raise click.UsageError("--without-file says what to --export.")


@dataclass(frozen=True, slots=True)
class Asked:
    """One result to audit: of a request the proposal of that number, or the last. `file` is the
    model's, where somebody has it; the evidence goes to `target`."""

    request_id: RequestId
    number: int | None
    file: Path | None
    target: Path | None
    with_file: bool
    allow_local: bool


def _one(session: Session, asked: Asked, limits: Limits, as_json: bool) -> int:
    request_id = asked.request_id
    found = session.history.request(request_id)
    number, claim = found.claim(asked.number)
    fate = found.fate(number)
    is_disputed = fate is Fate.PROPOSED and claim.proposal.is_suspended
    model = session.history.model(found.created.request.model)
    known = {
        "request_id": request_id,
        "proposal": number,
        "proposals": len(found.claims),
        "model_id": model.model_id,
        "operator": claim.proposal.operator,
        "status": fate,
        "is_disputed": is_disputed,
        "assurance": model.model.assurance,
    }
    try:
        output, written = _recomputed(session, asked, found, claim, model, limits)
    except (ModelError, PayloadError) as error:
        why = reason(error)
        if as_json:
            show.print_json(known | {"matches": None, "why": why})
        else:
            show.out.print(show.styled("[yellow]Not checked[/]: {}", why))
        return UNCHECKED
    elements = compare(claim.output, output, model.model.signature.outputs)
    wrong = [element for element in elements if not element.matches]
    if as_json:
        seen = {"matches": not wrong, "elements": len(elements), "mismatches": wrong}
        show.print_json(known | seen | written)
    else:
        _print(model, elements, wrong)
        if len(found.claims) > 1:
            several = (
                f"This is proposal {number} of {len(found.claims)}: --proposal N takes another."
            )
            show.out.print(several)
        if asked.target is not None:
            show.out.print(f"Evidence in {asked.target}: exactum audit --verify checks it.")
        if fate in _ENDED:
            show.out.print(show.styled(_ENDED[fate]))
        if is_disputed:
            disputed = "[yellow]DISPUTED[/]: exactum dispute show tells how it stands."
            show.out.print(show.styled(disputed))
    if not wrong:
        return 0
    return UNCHECKED if model.model.assurance is Assurance.VANILLA else WRONG


def _recomputed(
    session: Session,
    asked: Asked,
    found: RequestHistory,
    claim: ResultProposed,
    model: ModelHistory,
    limits: Limits,
) -> tuple[bytes, dict[str, object]]:
    """Computes the output here, and writes the evidence where that is asked for; gives what is to
    be said of that file too."""
    path = model_path(model, asked.file, session.settings, asked.allow_local)
    with show.err.status("Running the model…"):
        if asked.target is None:
            return rerun(path, model.model, found.created.payload, limits), {}
        bundle = gather(session, found, claim, model, path, limits, asked.with_file)
        return bundle.recomputed, {"evidence": write(bundle, asked.target)}


def rerun(path: Path, model: Model, payload: bytes, limits: Limits) -> bytes:
    """Computes the output here, in a process of its own: a stranger made the file."""
    with Executor(1, limits.seconds, limits.memory) as executor:
        return executor.infer(Job.of(path, model, payload))


def _print(model: ModelHistory, elements: list[Element], wrong: list[Element]) -> None:
    shown = wrong or elements
    table = Table()
    for title in ("element", "claimed", "bits", "recomputed", "bits", ""):
        table.add_column(title, overflow="fold")  # what is cut could not be compared
    for element in shown[:SHOWN]:
        table.add_row(
            f"{element.tensor}[{element.index}]",
            element.claimed,
            element.claimed_bits,
            element.recomputed,
            element.recomputed_bits,
            Text("equal", "green") if element.matches else Text("DIFFERENT", "red"),
        )
    show.out.print(table)
    if len(shown) > SHOWN:
        show.out.print(f"… and {len(shown) - SHOWN} more")
    name = f"{model.model.name} {model.model.version}"
    if wrong:
        show.out.print(
            show.styled(
                "[red]MISMATCH[/]: {} of {} elements of {} are not what it computes.",
                len(wrong),
                len(elements),
                name,
            )
        )
        if model.model.assurance is Assurance.VANILLA:
            show.out.print("The model is VANILLA: other hardware may differ in the last digits.")
    else:
        show.out.print(
            show.styled("[green]MATCH[/]: all {} elements of {}, every bit.", len(elements), name)
        )
