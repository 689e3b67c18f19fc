#!/usr/bin/env python3
"""Plants small bugs, one at a time, and tells which of them no test sees.

A mutant is one file with one small change: `<` made `<=`, `+` made `-`, a number one larger, a
condition turned round, a statement left out. Its tests run in a copy of the tree. A mutant is
*killed* if they fail, *hung* if they had to be stopped (which counts as killed), *stillborn* if it
does not compile (then another takes its place), and else it has *survived*: either a test is
missing, or the change changes nothing.

  ./dev mutants --count 40 contracts/Disputes.sol
  ./dev mutants --seed 2 --count 60 --log /tmp/mutants.jsonl oracle/merkle.py oracle/exact/sums.py
  ./dev mutants --again /tmp/mutants.jsonl                 the survivors once more
  ./dev mutants --list --count 5 oracle/merkle.py          what would be planted

Which tests cover a file stands in scripts/mutants.toml: paths for pytest or, of .sol files, for
`forge test --match-path`, and options of either. They are run without any change first, and must
pass. The same files, count and seed give the same mutants. With --log a run that was stopped goes
on where it was. Changes are made token by token in Solidity and at nodes of the syntax tree in
Python. Not changed are texts, types, decorators, docstrings, and what is said to `log`.
"""

import argparse
import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
MAP = ROOT / "scripts/mutants.toml"
LINKED = (".venv", "node_modules", ".build", ".cache")  # neither copied nor written to
BUILT = ("cache", "out")  # forge's, copied so that it compiles what a mutant changes and no more
LEAST_SECONDS = {".py": 60.0, ".sol": 900.0}  # a change of a library compiles half of the contracts


@dataclass(frozen=True, slots=True)
class Mutant:
    """The bytes of `file` from `start` to `end`, `before`, made `after`."""

    file: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.file}:{self.line}  {shortened(before)}  →  {shortened(after) or '(nothing)'}"

    def applied_to(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


def shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


# WHAT CAN BE CHANGED

SWAPPED = {
    "==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">",
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&&": "||", "||": "&&",
    "&": "|", "|": "&", "^": "|", "<<": ">>", ">>": "<<",
    "++": "--", "+=": "-=", "-=": "+=", "*=": "/=", "|=": "&=", ">>=": "<<=", "<<=": ">>=",
    "true": "false", "false": "true", "!": "", "~": "",
}  # fmt: skip
SWAPPED_IN_ASSEMBLY = {
    "add": "sub", "sub": "add", "mul": "div", "div": "mul", "shl": "shr", "shr": "shl",
    "lt": "gt", "gt": "lt", "and": "or", "or": "and", "not": "iszero",
}  # fmt: skip
SOLIDITY = re.compile(
    r"(?P<skip>//[^\n]*|/\*.*?\*/|\s+)"
    r"|(?P<text>(?:hex|unicode)?\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<number>0x[0-9a-fA-F_]+|[0-9][0-9_]*)"
    r"|(?P<word>[A-Za-z_$][\w$]*)"
    r"|(?P<sign><<=|>>=|\*\*|<<|>>|=>|->|:=|==|!=|<=|>=|&&|\|\||\+\+|--|[-+*/%&|^]=|.)",
    re.DOTALL,
)
ASSIGNING = {"=", "+=", "-=", "*=", "/=", "|=", "&=", ">>=", "<<=", "++", "--", "delete"}
# Whatever begins with one of these says what there is, not what is done.
DECLARING = {"pragma", "import", "event", "error", "struct", "enum", "using", "type", "function"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    in_assembly: bool = False

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def mutants_of(file: str) -> list[Mutant]:
    """Lists every mutant of a file, in the order of the file."""
    source = (ROOT / file).read_bytes()
    find = of_solidity if file.endswith(".sol") else of_python
    found = {
        (start, end, after): Mutant(
            file=file,
            line=source.count(b"\n", 0, start) + 1,
            start=start,
            end=end,
            before=source[start:end].decode(),
            after=after,
        )
        for start, end, after in find(source)
    }
    return [found[key] for key in sorted(found)]


def of_solidity(source: bytes) -> Iterator[tuple[int, int, str]]:
    # Bytes as characters, so that offsets are of bytes.
    for statement in statements(tokens_of(source.decode("latin-1"))):
        if statement[0].text in DECLARING:
            continue
        yield from of_statement(statement)
        for token, before in zip(statement, [None, *statement], strict=False):
            yield from of_token(token, before)


def tokens_of(text: str) -> list[Token]:
    tokens: list[Token] = []
    depth, assembly = 0, None
    for match in SOLIDITY.finditer(text):
        kind = str(match.lastgroup)
        if kind == "skip":
            continue
        word = match.group()
        if word == "assembly":
            assembly = depth
        if kind == "sign":
            depth += (word == "{") - (word == "}")
            if word == "}" and depth == assembly:
                assembly = None
        tokens.append(Token(kind, word, match.start(), assembly is not None and depth > assembly))
    return tokens


def statements(tokens: list[Token]) -> Iterator[list[Token]]:
    """Cuts at braces and semicolons; those of `for (;;)` and of `{value: x}` cut too, which only
    means that nothing is left out there."""
    run: list[Token] = []
    for token in tokens:
        run.append(token)
        if token.text in ("{", "}", ";"):
            yield run
            run = []
    if run:
        yield run


def of_statement(statement: list[Token]) -> Iterator[tuple[int, int, str]]:
    """Leaves a whole statement out, or takes what an `if` asks for true and for false."""
    first, last = statement[0], statement[-1]
    words = [token.text for token in statement]
    if words[:2] == ["if", "("] and (close := closing(words, 1)):
        yield statement[2].start, statement[close].start, "true"
        yield statement[2].start, statement[close].start, "false"
    if last.text != ";" or first.in_assembly or words.count("(") != words.count(")"):
        return
    is_call = len(statement) > 2 and statement[1].text in ("(", ".") and words[-2] == ")"
    is_assignment = (
        statement[1].kind != "word" and words[1] != "(" and bool(ASSIGNING.intersection(words))
    )
    if first.kind == "word" and first.text not in ("if", "for", "while", "return"):
        if first.text in ("emit", "delete") or is_call or is_assignment:
            yield first.start, last.end, ""
    elif first.text in ("++", "--"):
        yield first.start, last.end, ""


def closing(words: list[str], opening: int) -> int | None:
    depth = 0
    for place in range(opening, len(words)):
        depth += (words[place] == "(") - (words[place] == ")")
        if depth == 0:
            return place
    return None


def of_token(token: Token, before: Token | None) -> Iterator[tuple[int, int, str]]:
    if token.kind == "number":
        yield token.start, token.end, one_more(token.text)
    elif token.in_assembly and token.text in SWAPPED_IN_ASSEMBLY:
        yield token.start, token.end, SWAPPED_IN_ASSEMBLY[token.text]
    elif not token.in_assembly and token.text in SWAPPED:
        # A sign that nothing stands before is one number's own: `-1`, `type(uint256).max & ~x`.
        is_unary = before is None or (before.kind == "sign" and before.text not in (")", "]"))
        yield token.start, token.end, "" if token.text == "-" and is_unary else SWAPPED[token.text]


def one_more(number: str) -> str:
    digits = number.replace("_", "")
    if digits.startswith("0x"):
        return f"0x{int(digits, 16) + 1:0{len(digits) - 2}x}"
    return str(int(digits) + 1)


COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
CALCULATED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "//"), ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"), ast.Mod: ("%", "//"), ast.Pow: ("**", "*"), ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"), ast.MatMult: ("@", "*"),
}  # fmt: skip
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Python(ast.NodeVisitor):
    """Collects (start, end, after), in bytes of the source."""

    def __init__(self, source: bytes):
        self.source = source
        self.found: list[tuple[int, int, str]] = []
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.lines[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr) -> str:
        return self.source[self.start(node) : self.end(node)].decode()

    def replace(self, node: ast.expr | ast.stmt, after: str) -> None:
        self.found.append((self.start(node), self.end(node), after))

    def between(self, left: ast.expr, right: ast.expr, before: str, after: str) -> None:
        """Replaces the operator that stands between two operands."""
        start = self.end(left)
        gap = self.source[start : self.start(right)].decode()
        match = re.search(re.escape(before).replace(r"\ ", r"\s+"), re.sub(r"#.*", blank, gap))
        if match:
            self.found.append((start + match.start(), start + match.end(), after))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func).startswith(("log.", "logger.")):
                return
            self.replace(node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not all(isinstance(target, ast.Name) for target in node.targets):
            self.replace(node, "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        before, after = CALCULATED[type(node.op)]
        self.between(node.target, node.value, f"{before}=", f"{after}=")
        self.replace(node, "pass")
        self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.replace(node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self.replace(node, "continue")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                self.replace(node.value, "None")
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            return
        self.replace(node.test, "True")
        self.replace(node.test, "False")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.replace(node.test, "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.replace(node.test, "True")
        self.replace(node.test, "False")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            self.between(left, right, *COMPARED[type(operator)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        is_text = any(
            isinstance(side, ast.JoinedStr)
            or (isinstance(side, ast.Constant) and isinstance(side.value, str))
            for side in (node.left, node.right)
        )
        if not is_text:
            self.between(node.left, node.right, *CALCULATED[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, before, after)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if not isinstance(node.op, ast.UAdd):
            self.replace(node, self.text(node.operand))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in CALLED:
            self.replace(node.func, CALLED[node.func.id])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.replace(node, str(not node.value))
        elif isinstance(node.value, int):
            self.replace(node, str(node.value + 1))

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]


def blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def of_python(source: bytes) -> Iterator[tuple[int, int, str]]:
    visitor = Python(source)
    visitor.visit(ast.parse(source))
    for start, end, after in visitor.found:
        try:
            compile(source[:start] + after.encode() + source[end:], "mutant", "exec")
        except (SyntaxError, SyntaxWarning):
            continue
        yield start, end, after


# RUNNING THEIR TESTS


@dataclass(frozen=True, slots=True)
class Outcome:
    status: str  # survived, killed, hung, stillborn
    seconds: float
    tail: str


def command_for(file: str, tests: list[str]) -> list[str]:
    options = [word for word in tests if word.startswith("--")]
    paths = [word for word in tests if not word.startswith("--")]
    if file.endswith(".sol"):
        pattern = paths[0] if len(paths) == 1 else "{" + ",".join(paths) + "}"
        return ["forge", "test", "--fail-fast", *options, "--match-path", pattern]
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    return [*pytest, "--hypothesis-seed=0", *options, *paths]


@contextmanager
def copied_tree(kept: Path | None) -> Iterator[Path]:
    """Copies what git knows or would, and links to what is installed."""
    folder = kept or Path(tempfile.mkdtemp(prefix="mutants-"))
    if kept:
        empty(kept)
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    for name in LINKED:
        if (ROOT / name).exists() and not (folder / name).is_symlink():
            (folder / name).symlink_to((ROOT / name).resolve())
    for name in BUILT:
        if (ROOT / name).exists() and not (folder / name).exists():
            shutil.copytree(ROOT / name, folder / name)
    try:
        yield folder
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def empty(folder: Path) -> None:
    """Leaves nothing of an earlier copy but what forge built, and touches nobody else's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".mutants"
    if not stamp.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} holds something that is no copy of ours; name another.")
    stamp.touch()
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink() and path.name not in BUILT:
            shutil.rmtree(path)


def run(command: list[str], folder: Path, limit: float | None) -> Outcome:
    """Runs in a group of processes of its own, so that whatever a hung test started ends too."""
    variables = {
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # code is told from newer code by the second and the size
        "FOUNDRY_FUZZ_RUNS": os.environ.get("FOUNDRY_FUZZ_RUNS", "32"),
        "FOUNDRY_INVARIANT_RUNS": os.environ.get("FOUNDRY_INVARIANT_RUNS", "4"),
        "FOUNDRY_FUZZ_SEED": "0x1",
    }
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Outcome("hung", time.monotonic() - started, "")
    text = said.decode(errors="replace")
    seconds = time.monotonic() - started
    if process.returncode == 0:
        return Outcome("survived", seconds, "")
    is_stillborn = "Compiler run failed" in text
    return Outcome("stillborn" if is_stillborn else "killed", seconds, text[-2000:])


def try_one(mutant: Mutant, tests: list[str], folder: Path, limit: float) -> Outcome:
    path = folder / mutant.file
    source = path.read_bytes()
    path.write_bytes(mutant.applied_to(source))
    try:
        return run(command_for(mutant.file, tests), folder, limit)
    finally:
        path.write_bytes(source)


def limits(files: list[str], covered: dict[str, list[str]], folder: Path) -> dict[str, float]:
    """Runs each file's tests without a mutant: they must pass, and say how long is too long."""
    seconds: dict[tuple[str, ...], float] = {}
    for file in files:
        command = tuple(command_for(file, covered[file]))
        if command not in seconds:
            outcome = run(list(command), folder, None)
            if outcome.status != "survived":
                raise SystemExit(f"the tests of {file} fail without any mutant:\n{outcome.tail}")
            seconds[command] = max(LEAST_SECONDS[Path(file).suffix], 5 * outcome.seconds)
            print(f"tests of {file} pass in {outcome.seconds:.0f} s", file=sys.stderr)
    return {file: seconds[tuple(command_for(file, covered[file]))] for file in files}


# WHICH, AND WHAT BECAME OF THEM


def drawn(files: list[str], seed: int) -> list[Mutant]:
    """Shuffles all mutants of the files by the seed. The first of them are the ones taken."""
    found = [mutant for file in sorted(files) for mutant in mutants_of(file)]
    random.Random(seed).shuffle(found)
    return found


def logged(path: Path | None) -> dict[Mutant, str]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {Mutant(**row["mutant"]): row["status"] for row in rows}


def note(path: Path | None, mutant: Mutant, status: str) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps({"status": status, "mutant": asdict(mutant)}) + "\n")


def report(statuses: dict[Mutant, str], console: Console) -> None:
    table = Table("file", "mutants", "killed", "survived", title="Mutants")
    files: dict[str, Counter[str]] = {}
    for mutant, status in statuses.items():
        files.setdefault(mutant.file, Counter())[status] += 1
    for file, counts in sorted(files.items()):
        lived = counts["survived"]
        killed = counts["killed"] + counts["hung"]
        table.add_row(file, str(killed + lived), str(killed), str(lived))
    console.print(table)
    for mutant in sorted(statuses, key=lambda each: (each.file, each.start)):
        if statuses[mutant] == "survived":
            console.print(f"survived: {mutant}", markup=False, highlight=False, soft_wrap=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, prog="./dev mutants", formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="files of the map; without any, all of them")
    parser.add_argument("--count", type=int, default=20, help="mutants that compile (20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--map", type=Path, default=MAP, help="file → tests (scripts/mutants.toml)")
    parser.add_argument(
        "--log", type=Path, help="one JSON line a mutant; those in it are not rerun"
    )
    parser.add_argument("--again", type=Path, metavar="LOG", help="only the survivors in this log")
    parser.add_argument("--tree", type=Path, help="keep the copy here, and what forge built in it")
    parser.add_argument("--timeout", type=float, help="seconds a mutant may take")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    covered: dict[str, list[str]] = tomllib.loads(arguments.map.read_text())
    if unknown := [file for file in arguments.files if file not in covered]:
        raise SystemExit(f"{arguments.map} does not say which tests cover {', '.join(unknown)}.")

    if arguments.again:
        lived = [m for m, status in logged(arguments.again).items() if status == "survived"]
        queue, count = lived, len(lived)
    else:
        queue, count = drawn(arguments.files or sorted(covered), arguments.seed), arguments.count
    if arguments.list:
        print("\n".join(str(mutant) for mutant in queue[:count]))
        return 0

    statuses: dict[Mutant, str] = {}
    before = logged(arguments.log)
    with copied_tree(arguments.tree) as folder:
        limit = limits(sorted({mutant.file for mutant in queue}), covered, folder)
        for mutant in queue:
            born = sum(status != "stillborn" for status in statuses.values())
            if born == count:
                break
            if mutant not in before:
                seconds = arguments.timeout or limit[mutant.file]
                outcome = try_one(mutant, covered[mutant.file], folder, seconds)
                note(arguments.log, mutant, outcome.status)
                print(f"{outcome.status:<9} {outcome.seconds:5.0f} s  {mutant}", file=sys.stderr)
                statuses[mutant] = outcome.status
            else:
                statuses[mutant] = before[mutant]

    report(statuses, Console(stderr=arguments.json))
    if arguments.json:
        print(json.dumps(dict(Counter(statuses.values()))))
    return int("survived" in statuses.values())


if __name__ == "__main__":
    sys.exit(main())
