"""`exactum dispute`: how a dispute stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from oracle.chain.codec import dispute_key
from oracle.chain.disputes import Dispute, replay
from oracle.chain.events import (
    DemandTimedOut,
    DisputeEvent,
    Event,
    FraudProven,
    PartDemanded,
    PartRevealed,
    ResultProposed,
    TraceRevealed,
)
from oracle.chain.histories import RequestHistory
from oracle.challenger.policy import reward
from oracle.cli import show
from oracle.cli.files import model_path
from oracle.cli.options import REQUEST, json_option, local_files_option
from oracle.cli.session import Session, on_chain
from oracle.inference import findings
from oracle.inference.comparison import Element, compare
from oracle.inference.engine import Job, Pursue
from oracle.inference.executor import Executor
from oracle.inference.findings import Finding
from oracle.types import LEAVES, VALUE_TREE, Address, Model, Part, Request, RequestId, Wei

_TIME_LIMIT = 600.0  # seconds for one run with its whole trace


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody did, in a transaction that took `gas` and cost `gas_cost` wei."""

    time: int
    what: str
    who: Address
    gas: int
    gas_cost: Wei
    prepaid: Wei
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Slashed:
    """A bond that is lost, and how much of it went to whom."""

    bond: Wei
    reward: Wei
    challenger: Address


@click.group()
def dispute() -> None:
    """Shows how disputes stand. exactum challenger fights them, exactum worker defends."""


@dispute.command(name="show")
@click.argument("request_id", type=REQUEST, metavar="REQUEST")
@click.option(
    "--model",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The model's program file, if you have it. [default: the cache, then its URIs]",
)
@click.option("--no-run", is_flag=True, help="Do not run the model: what the chain says is enough.")
@click.option(
    "--proposal",
    "number",
    type=click.IntRange(min=1),
    help="Of several, since a slash opens a request again: 1 is the first."
    " [default: the last that was disputed, else the last]",
)
@local_files_option
@on_chain
@json_option
def show_(
    request_id: RequestId,
    file: Path | None,
    no_run: bool,
    number: int | None,
    allow_local_files: bool,
    session: Session,
    as_json: bool,
) -> None:
    """Shows what is claimed for REQUEST, where it leaves the right result, and who did what.

    It runs the model again, compares, and works out what comes next from what was revealed so far:
    a part to demand, or the one element that proves the result wrong. It sends nothing.

    \b
    Examples:
      exactum dispute show 0x1f…
      exactum dispute show 0x1f… --model iris.safetensors --json
    """
    found = session.history.request(request_id)
    number, claim, told_ = chosen(found, number)
    finding, elements = None, list[Element]()
    if not no_run:
        known = session.history.model(found.created.request.model)
        model = known.model
        path = model_path(known, file, session.settings, allow_local_files)
        with show.err.status("Running the model…"):
            finding, ours = rerun(path, model, found.created.payload, claim.output, told_)
        elements = compare(claim.output, ours, model.signature.outputs)
    acts = [act(session, event) for event in _acts(found, told_)]
    slashed_ = slashed(found.created.request, told_)
    wrong = [element for element in elements if not element.matches]
    if as_json:
        show.print_json(
            {
                "request_id": request_id,
                "proposal": number,
                "dispute": told_.key,
                "operator": claim.proposal.operator,
                "state": state(told_, claim),
                "settle_at": claim.proposal.settle_at,
                "trace_root": told_.trace_root,
                "open_demands": told_.open,
                "differences": wrong,
                "next": finding,
                "verdict": _verdict(told_),
                "slashed": slashed_,
                "acts": acts,
                "gas_cost": sum(each.gas_cost for each in acts),
                "prepaid": sum(each.prepaid for each in acts),
            }
        )
        return
    several = {"proposal": f"{number} of {len(found.claims)}"} if len(found.claims) > 1 else {}
    _print(told_, claim, several, finding, wrong)
    _print_acts(acts, slashed_)


def chosen(found: RequestHistory, number: int | None) -> tuple[int, ResultProposed, Dispute]:
    """Gives the proposal of that number, of all proposals for a request. Without a number, it gives
    the last one that is disputed, or else the last one."""
    wanted, _ = found.claim(number)
    events = [event for event in found.events if isinstance(event, DisputeEvent)]
    all_ = []
    for place, claim in enumerate(found.claims, start=1):
        key = dispute_key(found.created.request_id, claim.proposal, claim.output)
        all_.append((place, claim, replay(key, events)))
    if number is not None:
        return all_[wanted - 1]
    disputed = [each for each in all_ if each[2].demanded or each[2].conviction is not None]
    return (disputed or all_)[-1]


def rerun(
    path: Path, model: Model, payload: bytes, output: bytes, dispute: Dispute
) -> tuple[Finding, bytes]:
    """Works out what to do next about the result, and computes it in another process."""
    parts = ((e.part, e.data, e.siblings) for e in dispute.revealed.values())
    task = Pursue(output, dispute.trace_root, tuple(parts))
    with Executor(processes=1, time_limit=_TIME_LIMIT) as executor:
        found = executor.run(Job.of(path, model, payload, task))
        again = executor.run(Job.of(path, model, payload), apart_from=found.pid)
    finding = findings.read_finding(found.data)
    findings.must_agree(finding, again.data, output)
    return finding, again.data


def state(dispute: Dispute, claim: ResultProposed) -> str:
    if dispute.conviction is not None:
        return "convicted"
    if claim.proposal.is_suspended:
        return "a demand waits for its answer"
    return "answered" if dispute.revealed else "undisputed"


def slashed(request: Request, dispute: Dispute) -> Slashed | None:
    """Says what a conviction led to. Gives None where there was none."""
    match dispute.conviction:
        case FraudProven(challenger=challenger):
            return Slashed(request.bond, reward(request), challenger)
        case DemandTimedOut(part=part):
            return Slashed(request.bond, reward(request), dispute.demanded[part].demand.demander)
        case _:
            return None


def act(session: Session, event: DisputeEvent) -> Act:
    receipt = session.chain.receipt(event.where.transaction)
    gas, price = (0, 0) if receipt is None else (receipt.gas_used, receipt.gas_price)
    prepaid = event.demand.prepaid if isinstance(event, PartDemanded) else 0
    who = session.chain.sender_of(event.where.transaction)
    where = event.where
    what, cost = _what(event), Wei(gas * price)
    return Act(where.time, what, who, gas, cost, Wei(prepaid), where.transaction)


def _acts(found: RequestHistory, dispute: Dispute) -> list[DisputeEvent]:
    def is_of_it(event: Event) -> bool:
        match event:
            case PartDemanded(demand=demand):
                return demand.dispute == dispute.key
            case PartRevealed() | FraudProven() | DemandTimedOut():
                return event.dispute == dispute.key
            case _:  # TraceRevealed comes in the transaction of a reveal
                return False

    return [e for e in found.events if isinstance(e, DisputeEvent) and is_of_it(e)]


def _what(event: DisputeEvent) -> str:
    match event:
        case PartDemanded(demand=demand):
            return f"demanded {part_name(demand.part)}"
        case PartRevealed(part=part):
            return f"revealed {part_name(part)}"
        case TraceRevealed():
            return "revealed the trace root"
        case FraudProven(verdict=verdict):
            return f"proved node {verdict.node}, element {verdict.element} wrong"
        case DemandTimedOut(part=part):
            return f"ended the wait for {part_name(part)}"


def part_name(part: Part) -> str:
    """Describes a part in words."""
    places = f"{part.first}…{part.first + part.count - 1}" if part.count > 1 else f"{part.first}"
    if part.value == VALUE_TREE:
        return f"values' roots {places}" if part.height == 0 else f"height {part.height}: {places}"
    if part.height == LEAVES:
        return f"node {part.value}, leaves {places}"
    return f"node {part.value}, height {part.height}: {places}"


def _verdict(dispute: Dispute) -> object:
    conviction = dispute.conviction
    return conviction.verdict if isinstance(conviction, FraudProven) else None


def _print(
    dispute: Dispute,
    claim: ResultProposed,
    several: dict[str, str],
    finding: Finding | None,
    wrong: list[Element],
) -> None:
    show.print_fields(
        "Dispute",
        several
        | {
            "key": show.hex_(dispute.key),
            "operator": claim.proposal.operator,
            "state": state(dispute, claim),
            "trace root": show.hex_(dispute.trace_root) if dispute.trace_root else "not revealed",
            "final at": _final_at(dispute, claim),
        },
    )
    if wrong:
        first = wrong[0]
        show.out.print(
            show.styled(
                "[red]WRONG[/]: {} output elements; first {}: claimed {} ({}), right {} ({})",
                len(wrong),
                f"{first.tensor}[{first.index}]",
                first.claimed,
                first.claimed_bits,
                first.recomputed,
                first.recomputed_bits,
            )
        )
    if finding is not None:
        show.out.print(_next(finding, dispute))


def _final_at(dispute: Dispute, claim: ResultProposed) -> str:
    if dispute.conviction is not None:
        return "never: its operator was slashed for it"
    is_suspended = claim.proposal.is_suspended
    return "suspended" if is_suspended else show.when(claim.proposal.settle_at)


def _print_acts(acts: Sequence[Act], slashed_: Slashed | None) -> None:
    if not acts:
        return
    table = Table("when, UTC", "what", "who")
    table.add_column("gas", justify="right")
    table.add_column("prepaid", justify="right")
    for each in acts:
        day, clock, _ = show.when(each.time).split()
        prepaid = show.rounded(each.prepaid) if each.prepaid else ""
        what, who = each.what, show.short(each.who)
        table.add_row(f"{day[5:]} {clock}", what, who, f"{each.gas:,}", prepaid)
    show.out.print(table)
    show.print_parties(each.who for each in acts)
    cost, prepaid_ = sum(each.gas_cost for each in acts), sum(each.prepaid for each in acts)
    gas = sum(each.gas for each in acts)
    show.out.print(
        f"So far: {gas:,} gas for {show.rounded(cost)}, {show.rounded(prepaid_)} prepaid"
    )
    if slashed_ is not None:
        show.out.print(
            f"Slashed: the bond of {show.ether(slashed_.bond)}, of which"
            f" {show.ether(slashed_.reward)} is the reward of {slashed_.challenger}"
        )


def _next(finding: Finding, dispute: Dispute) -> str | Text:
    if finding.is_right:
        return show.styled("[green]RIGHT[/]: every bit of the output is what we compute.")
    if isinstance(dispute.conviction, DemandTimedOut):
        return f"Its operator did not show {part_name(dispute.conviction.part)}."
    if finding.question is not None:
        return f"Next: demand {part_name(finding.question.part)}."
    assert finding.fraud is not None
    fraud = finding.fraud
    return (
        f"It leaves the right result at node {fraud.node} ({fraud.op}),"
        f" element {fraud.element}: claimed {fraud.claimed.hex()},"
        f" right {fraud.expected.hex()}. Proof of {len(fraud.proof):,} bytes."
    )
