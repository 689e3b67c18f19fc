"""Writes docs/models.md: a row for every model that was tried, and why the others did not run."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from oracle.exact.proofs.bounds import MOST_BYTES, MOST_GAS
from oracle.visible import visible
from scripts.prose import wrapped
from scripts.survey.verdict import Verdict

Reasons = Callable[[Verdict], Iterable[str]]

RAN, UNPROVABLE, DIFFERS, REFUSED, BROKE = "ran", "unprovable", "differs", "refused", "broke"

_NODE = re.compile(r"node '(?:[^'\\]|\\.)*' \((\w+)\): ")


def kind(found: Verdict) -> str:
    """Names what became of a model, in a word."""
    if found.broke:
        return BROKE
    if found.refused:
        return REFUSED
    if found.opinion.startswith("differs"):
        return DIFFERS
    return UNPROVABLE if found.unprovable else RAN


def counted(found: Iterable[Verdict]) -> str:
    """Says in a sentence how many of them did what."""
    total = Counter(map(kind, found))
    return (
        f"Of {sum(total.values())} {total[RAN] + total[UNPROVABLE] + total[DIFFERS]} ran, of which"
        f" {total[UNPROVABLE]} could not be published and {total[DIFFERS]} differ from onnxruntime;"
        f" {total[REFUSED]} were refused and {total[BROKE]} ended otherwise."
    )


def page(of_packages: Sequence[Verdict], of_training: Sequence[Verdict]) -> str:
    """Writes the whole page."""
    every = [*of_packages, *of_training]
    families = sorted({each.name.split("/")[0] for each in of_training})
    parts = [
        "# Models that nobody had tried",
        wrapped(
            "Written by `./dev bench models --write`. Each model was lowered, run on three inputs"
            " (rows of its data, or random ones), compared with onnxruntime, and held to what a"
            f" proof may take, {MOST_GAS:,} gas and {MOST_BYTES:,} bytes. *Work* is multiply-adds,"
            " or what is like them, of one run; *gas* that of the dearest proof. Open dims were"
            " given sizes by `scripts/survey/collected.py`."
        ),
        "## In packages of others",
        wrapped(counted(of_packages)) + "\n\n" + _packages(of_packages),
        "## Trained here",
        wrapped(counted(of_training))
        + "\n\n"
        + wrapped(
            "Each family's maker is named; what is trained has other bytes and roots on another"
            " processor."
        ),
    ]
    for family in families:
        members = [each for each in of_training if each.name.startswith(f"{family}/")]
        parts.append(f"### {family}: {members[0].origin}")
        parts.append(_trained(members))
    parts += ["## Refused", "\n".join(_reasons(every, REFUSED, lambda each: each.refused))]
    parts += ["## Could not be published", "\n".join(_too_dear(every)) or "None."]
    differing = _reasons(every, DIFFERS, lambda each: (each.opinion.removeprefix("differs: "),))
    parts += ["## Differ from onnxruntime", "\n".join(differing)]
    without = [each for each in every if each.opinion.startswith("none")]
    parts += ["## On which onnxruntime failed", "\n".join(_without_opinion(without))]
    if broken := list(_reasons(every, BROKE, lambda each: (each.broke,))):
        parts += ["## Ended otherwise", "\n".join(broken)]
    return "\n\n".join(parts) + "\n"


def _packages(found: Iterable[Verdict]) -> str:
    head = "| package | model | SHA-256 | | root | work | gas | onnxruntime |\n"
    rows = [
        f"| {each.origin} | {_plain(each.name.split('/')[-1])} | {each.sha256[:8]} | {_end(each)} |"
        for each in found
    ]
    return head + "|---|---|---|---|---|--:|--:|---|\n" + "\n".join(rows)


def _trained(found: Iterable[Verdict]) -> str:
    head = "| model | | root | work | gas | onnxruntime |\n|---|---|---|--:|--:|---|\n"
    rows = [f"| {_plain(each.name.split('/', 1)[1])} | {_end(each)} |" for each in found]
    return head + "\n".join(rows)


def _end(found: Verdict) -> str:
    if not found.root:
        return f"{kind(found)} | | | | "
    opinion = found.opinion.split(":")[0]
    opinion = "fails" if opinion == "none" else opinion
    numbers = f"{found.work:,} | {found.gas:,}"
    return f"{kind(found)} | {found.root[:16]} | {numbers} | {opinion}"


def _reasons(found: Iterable[Verdict], what: str, of: Reasons) -> Iterator[str]:
    """Yields a line for each model, with each reason once."""
    for each in found:
        if kind(each) == what:
            counts = Counter(_NODE.sub(r"\1: ", reason) for reason in of(each))
            said = [f"{why} ({count} times)" if count > 1 else why for why, count in counts.items()]
            more = f"; and {len(said) - 2} more reasons" if len(said) > 2 else ""
            yield _item(f"{each.name}: {'; '.join(said[:2])}{more}")


def _too_dear(found: Iterable[Verdict]) -> Iterator[str]:
    for each in found:
        if each.unprovable and not each.refused:
            ops = Counter(
                match[1] for reason in each.unprovable if (match := _NODE.match(reason)) is not None
            )
            nodes = ", ".join(f"{count} {op}" for op, count in ops.most_common())
            yield _item(f"{each.name}: {nodes}")


def _without_opinion(found: Iterable[Verdict]) -> Iterator[str]:
    for each in found:
        yield _item(f"{each.name}: {each.opinion.removeprefix('none: ')[:300]}")


def _item(text: str) -> str:
    return wrapped(f"- {_plain(text)}").replace("\n", "\n  ")


def _plain(text: str) -> str:
    """Shows what a stranger wrote, without what would be markup."""
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", visible(text, 600))
