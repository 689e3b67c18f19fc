"""Evidence bundles on the command line: written from the chain, and verified without one."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.table import Table
from rich.text import Text

from oracle.audit import bundle as bundles
from oracle.audit import verification
from oracle.audit.bundle import Bundle, Reference, References
from oracle.audit.verification import Outcome, Report
from oracle.chain import preimage
from oracle.chain.connection import connect
from oracle.chain.events import ResultProposed, Where
from oracle.chain.histories import ModelHistory, RequestHistory
from oracle.cli import show
from oracle.cli.files import check_file, model_files, write_file
from oracle.cli.session import Session
from oracle.cli.sweep import UNCHECKED, Limits, mismatch
from oracle.config import Settings
from oracle.errors import EvidenceError, NotFound
from oracle.inference import testimony
from oracle.inference.engine import Testify
from oracle.inference.executor import Executor, Job
from oracle.types import Assurance

_COLOURS = {Outcome.OK: "green", Outcome.FAILED: "red", Outcome.UNCHECKED: "yellow"}


def gather(
    session: Session,
    found: RequestHistory,
    claim: ResultProposed,
    model: ModelHistory,
    path: Path,
    limits: Limits,
    with_file: bool,
) -> Bundle:
    """Gathers the evidence about `claim`, right or wrong. The model's file is at `path`."""
    if model.model.assurance is Assurance.VANILLA:
        raise EvidenceError("There is no evidence about a result of a VANILLA model.")
    job = Job.of(path, model.model, found.created.payload, Testify(claim.output))
    with Executor(1, limits.seconds, limits.memory) as executor:
        ours = testimony.read_testimony(executor.infer(job))
    siblings = [sibling for value in ours.paths for sibling in value]
    return Bundle(
        chain_id=session.deployment.chain_id,
        queue=session.deployment.queue,
        registry=session.deployment.registry,
        request_id=found.created.request_id,
        model_id=model.model_id,
        request=found.created.request,
        proposal=claim.proposal,
        logs=References(
            _reference(model.published.where),
            _reference(found.created.where),
            _reference(claim.where),
        ),
        model=_preimage(session, model),
        program=path.read_bytes() if with_file else None,
        payload=found.created.payload,
        output=claim.output,
        recomputed=ours.output,
        trace=b"".join((ours.trace_root, ours.header, *siblings)),
        proof=ours.wrong.proof if ours.wrong else None,
    )


def write(bundle: Bundle, target: Path) -> dict[str, object]:
    """Writes the file, whole or not at all; gives what is to be said of it."""
    data = bundles.pack(bundle)
    write_file(target, data)
    digest = hashlib.sha256(data).hexdigest()
    return {"file": str(target), "bytes": len(data), "sha256": digest}


def verify(path: Path, file: Path | None, rpc: Sequence[str], limits: Limits, as_json: bool) -> int:
    """Verifies, prints, and gives the exit code. Needs no node; one that is given is asked for the
    logs that the bundle names."""
    bundle = bundles.read(path)
    looked_up = verification.look_up(bundle, connect(*rpc)) if rpc else ()
    with (
        _model_file(bundle, file) as program,
        Executor(1, limits.seconds, limits.memory) as executor,
        show.err.status("Running the model…"),
    ):
        report = verification.verify(bundle, program, executor)
    report = replace(report, checks=report.checks + looked_up)
    first = report.difference[0] if report.is_wrong and report.difference else None
    if as_json:
        show.print_json(
            {
                "request_id": bundle.request_id,
                "operator": bundle.proposal.operator,
                "outcome": str(report.outcome),
                "is_wrong": report.is_wrong,
                "first_mismatch": first,
                "checks": [
                    {"name": check.name, "outcome": str(check.outcome), "detail": check.detail}
                    for check in report.checks
                ],
            }
        )
    else:
        _print(bundle, report)
    return {Outcome.OK: 0, Outcome.FAILED: 1, Outcome.UNCHECKED: UNCHECKED}[report.outcome]


@contextmanager
def _model_file(bundle: Bundle, file: Path | None) -> Iterator[Path | None]:
    """Gives the path of the model's file: the bundle's own, the one that is given, or one in the
    cache."""
    if bundle.program is None:
        model = preimage.model_of(bundle.model)
        if file is not None:
            check_file(file, model)
        yield file or model_files(Settings()).path(model.file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(bundle.program)
        yield path


def _reference(where: Where) -> Reference:
    return Reference(where.block, where.transaction, where.index)


def _preimage(session: Session, model: ModelHistory) -> bytes:
    """Reads the preimage of the model's id from the log as it stands, because what was decoded may
    not be what was hashed."""
    where = model.published.where
    registry = (session.deployment.registry,)
    for log in session.chain.logs(registry, where.block, where.block, model.model_id):
        if log.index == where.index:
            return preimage.of_log(log)
    raise NotFound("The node no longer has the log of the model.")


def _print(bundle: Bundle, report: Report) -> None:
    table = Table("check", "", "what was seen")
    for check in report.checks:
        outcome = Text(check.outcome, style=_COLOURS[check.outcome])
        table.add_row(check.name, outcome, check.detail)
    show.out.print(table)
    what = f"the result of {show.hex_(bundle.request_id)} by {bundle.proposal.operator}"
    match report.outcome:
        case Outcome.FAILED:
            show.out.print(show.styled("[red]The evidence does not hold[/], and says nothing."))
        case Outcome.UNCHECKED:
            show.out.print(
                show.styled(
                    "[yellow]Not all could be checked[/], so it is not known whether {} is right.",
                    what,
                )
            )
        case Outcome.OK if report.difference is None:
            show.out.print(
                show.styled("[green]The evidence holds[/]: {} is [green]right[/], every bit.", what)
            )
        case Outcome.OK:
            first, count = report.difference
            show.out.print(
                show.styled(
                    "[green]The evidence holds[/]: {} is [red]WRONG[/]. {}; elements that are"
                    " wrong: {}.",
                    what,
                    mismatch(first),
                    f"{count:,}",
                )
            )
