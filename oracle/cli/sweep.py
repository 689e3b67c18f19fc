"""The audit of a range of blocks: what runs it, and how it is shown."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from oracle.audit import auditor
from oracle.audit.auditor import Auditor, Equal, Row, Scope, Unchecked, Verdict, Wrong
from oracle.chain.archive import Archive
from oracle.chain.histories import ModelHistory
from oracle.cli import show
from oracle.cli.files import model_files, program_name
from oracle.cli.session import Session
from oracle.errors import ConfigError
from oracle.inference.comparison import Element
from oracle.inference.executor import Executor

SHOWN = 200  # rows of the table, beyond those that are not equal

WRONG, UNCHECKED = 1, 3  # exit codes
_NAMES: Mapping[type, str] = {Equal: "equal", Wrong: "wrong", Unchecked: "unchecked"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the child processes: seconds and bytes for one inference."""

    processes: int
    seconds: int
    memory: int


def sweep(
    session: Session,
    scope: Scope,
    files: Sequence[Path],
    limits: Limits,
    allow_local: bool,
    as_json: bool,
) -> int:
    """Audits, prints, and gives the exit code."""
    fetch = _fetching(session, files, allow_local)
    executor = Executor(limits.processes, limits.seconds, limits.memory)
    with executor, _shown(scope, hidden=as_json) as report:
        archive = Archive(session.chain, session.deployment)
        rows = Auditor(archive, fetch, executor, limits.processes).audit(scope, report)
    counts = Counter(_NAMES[type(row.verdict)] for row in rows)
    if as_json:
        show.print_json(
            {
                "from_block": scope.first,
                "to_block": scope.last,
                "proposals": [_machine(row) for row in rows],
                **{name: counts[name] for name in _NAMES.values()},
            }
        )
    else:
        _print(session, rows, counts, scope)
    return WRONG if counts["wrong"] else UNCHECKED if counts["unchecked"] else 0


def scope(
    session: Session,
    from_block: int | None,
    to_block: int | None,
    models: Iterable[bytes],
    operators: Iterable[str],
) -> Scope:
    """Makes the range that is meant, and checks it against the chain."""
    head = session.chain.block("latest").number
    first = session.deployment.first_block if from_block is None else from_block
    last = head if to_block is None else to_block
    if last > head:
        raise ConfigError(f"{session.chain.name} has {head} blocks; there is no block {last} yet.")
    if first > last:
        raise ConfigError(f"The range ends before it begins: {first} to {last}.")
    return Scope(first, last, frozenset(models), frozenset(operators))  # type: ignore[arg-type]


def _fetching(
    session: Session, files: Sequence[Path], allow_local: bool
) -> Callable[[ModelHistory], Path]:
    given = {program_name(path): path for path in files}
    cache = model_files(session.settings, allow_local)

    def fetch(found: ModelHistory) -> Path:
        return given.get(found.model.file) or cache.fetch(found.model.file, found.uris)

    return fetch


@contextmanager
def _shown(scope: Scope, hidden: bool) -> Iterator[Callable[[auditor.Progress], None]]:
    """Shows a bar on standard error while the audit works."""
    columns = (
        TextColumn("Auditing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("blocks · {task.fields[checked]} results, {task.fields[wrong]} wrong"),
        TimeElapsedColumn(),
    )
    disable = hidden or not show.err.is_terminal
    with Progress(*columns, console=show.err, transient=True, disable=disable) as bar:
        task = bar.add_task("", total=scope.last - scope.first + 1, checked=0, wrong=0)

        def report(progress: auditor.Progress) -> None:
            blocks = progress.block - scope.first + 1
            bar.update(task, completed=blocks, checked=progress.checked, wrong=progress.wrong)

        yield report


def _machine(row: Row) -> dict[str, object]:
    first = row.verdict.first if isinstance(row.verdict, Wrong) else None
    return {
        "request_id": row.request_id,
        "model_id": row.model_id,
        "model": row.model,
        "operator": row.operator,
        "block": row.where.block,
        "log_index": row.where.index,
        "transaction": row.where.transaction,
        "status": str(row.fate),
        "verdict": _NAMES[type(row.verdict)],
        "mismatches": row.verdict.elements if isinstance(row.verdict, Wrong) else 0,
        "first_mismatch": first,
        "why": row.verdict.why if isinstance(row.verdict, Unchecked) else None,
    }


def _print(session: Session, rows: Sequence[Row], counts: Counter[str], scope: Scope) -> None:
    shown = list(rows) if len(rows) <= SHOWN else [r for r in rows if r.verdict != Equal()]
    for row in shown:
        show.out.print(show.hex_(row.request_id), style="bold")
        what = f"  {row.model}, by {row.operator} in block {row.where.block:,}"
        show.out.print(what, f"({row.fate}):", _said(row.verdict))
    if len(shown) < len(rows):
        show.out.print(f"… and {len(rows) - len(shown):,} results that are equal")
    for row in rows:
        if isinstance(row.verdict, Wrong):
            command = f"exactum audit {show.hex_(row.request_id)}{_number(session, row)}"
            show.out.print(f"{command} shows it element by element")
    colour = "red" if counts["wrong"] else "yellow" if counts["unchecked"] else "green"
    said = (
        f"{counts['equal']:,} equal, {counts['wrong']:,} wrong, {counts['unchecked']:,} not checked"
    )
    blocks = f"Blocks {scope.first:,} to {scope.last:,}: {len(rows):,} results, "
    show.out.print(Text.assemble(blocks, (said, colour), "."))


def _number(session: Session, row: Row) -> str:
    """Gives the option that says which of a request's proposals it is, if there are several."""
    claims = session.history.request(row.request_id).claims
    places = [claim.where for claim in claims]
    if len(places) < 2 or row.where not in places:
        return ""
    return f" --proposal {places.index(row.where) + 1}"


def mismatch(first: Element) -> str:
    return (
        f"{first.tensor}[{first.index}] is {first.claimed} ({first.claimed_bits}),"
        f" must be {first.recomputed} ({first.recomputed_bits})"
    )


def _said(verdict: Verdict) -> Text:
    match verdict:
        case Equal():
            return show.styled("[green]equal[/]")
        case Wrong(first, elements):
            more = f", and {elements - 1:,} more" if elements > 1 else ""
            return show.styled("[red]WRONG[/]: {}{}", mismatch(first), more)
        case Unchecked(why):
            return show.styled("[yellow]not checked[/]: {}", why)
