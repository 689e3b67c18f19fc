import tomllib
from pathlib import Path

import pytest

from scripts import mutants


def changes(source: str, kind: str) -> set[tuple[str, str]]:
    find = mutants.of_solidity if kind == "sol" else mutants.of_python
    raw = source.encode()
    return {(raw[start:end].decode(), after) for start, end, after in find(raw)}


@pytest.mark.parametrize(
    "source, before, after",
    [
        ("require(a <= b, E());", "<=", "<"),
        ("require(a <= b, E());", "require(a <= b, E());", ""),
        ("return a + 1;", "+", "-"),
        ("return a + 1;", "1", "2"),
        ("if (a && !b) return;", "a && !b", "true"),
        ("if (a && !b) return;", "&&", "||"),
        ("if (a && !b) return;", "!", ""),
        ("state.a = 1;", "state.a = 1;", ""),
        ("account.staked -= bond;", "-=", "+="),
        ("emit Paid(a);", "emit Paid(a);", ""),
        ("x = 0x00ff;", "0x00ff", "0x0100"),
        ("x = 1_000;", "1_000", "1001"),
        ("assembly { x := add(a, b) }", "add", "sub"),
    ],
)
def test_of_solidity_plants(source: str, before: str, after: str) -> None:
    assert (before, after) in changes(source, "sol")


@pytest.mark.parametrize(
    "source",
    [
        "// a < 1",
        "/* a < 1 */",
        'string constant TEXT = "1 < 2";',
        "pragma solidity ^0.8.28;",
        'import {A} from "./1.sol";',
        "error Wrong(uint256 a, bytes32 b);",
        "function add(uint256 a) returns (uint256);",
    ],
)
def test_of_solidity_leaves_alone_what_does_nothing(source: str) -> None:
    assert not changes(source, "sol")


def test_of_solidity_leaves_no_declaration_out() -> None:
    assert all(after for _, after in changes("uint256 a = b + c;", "sol"))


@pytest.mark.parametrize(
    "source, before, after",
    [
        ("x = a <= b", "<=", "<"),
        ("x = a is not None", "is not", "is"),
        ("x = a not in b", "not in", "in"),
        ("x = a + b * c", "*", "//"),
        ("x = a and b and c", "and", "or"),
        ("x = not a", "not a", "a"),
        ("x = True", "True", "False"),
        ("x = 7", "7", "8"),
        ("x = min(a, b)", "min", "max"),
        ("f(a)", "f(a)", "pass"),
        ("x.a = b", "x.a = b", "pass"),
        ("x += 1", "+=", "-="),
        ("if a > b:\n    f()", "a > b", "True"),
        ("def f():\n    return g()", "g()", "None"),
        ("def f():\n    raise g()", "raise g()", "pass"),
        ("for a in b:\n    continue", "continue", "break"),
        ("x = (\n    a  # < b\n    < c\n)", "<", "<="),
        ("x = 'ü' if é == 1 else b", "é == 1", "False"),
    ],
)
def test_of_python_plants(source: str, before: str, after: str) -> None:
    assert (before, after) in changes(source, "py")


@pytest.mark.parametrize(
    "source",
    [
        '"""1 < 2"""',
        "x = 'a' + b",
        "x: list[Literal[1]]",
        "log.info('a', b=1 + c)",
        "@dataclass(frozen=True)\nclass A:\n    a: int",
        "x = f'{a + 1}'",
    ],
)
def test_of_python_leaves_alone_what_does_nothing(source: str) -> None:
    assert not changes(source, "py")


def test_mutants_of_says_where_and_changes_only_that() -> None:
    source = (mutants.ROOT / "oracle/merkle.py").read_bytes()
    for mutant in mutants.mutants_of("oracle/merkle.py"):
        changed = mutant.applied_to(source)
        assert changed != source
        assert (
            source.splitlines()[mutant.line - 1].find(mutant.before.encode().split(b"\n")[0]) >= 0
        )
        assert changed.startswith(source[: mutant.start])
        assert changed.endswith(source[mutant.end :])


def test_drawn_depends_on_the_seed_alone() -> None:
    files = ["oracle/merkle.py", "contracts/libraries/Part.sol"]
    assert mutants.drawn(files, 1) == mutants.drawn(files[::-1], 1)
    assert mutants.drawn(files, 1) != mutants.drawn(files, 2)


def test_every_file_of_the_map_exists() -> None:
    covered = tomllib.loads(mutants.MAP.read_text())
    assert covered
    for file, tests in covered.items():
        assert (mutants.ROOT / file).is_file(), file
        paths = [path for path in tests if not path.startswith("--")]
        assert paths and all(list(mutants.ROOT.glob(path)) for path in paths), file


def test_empty_keeps_what_was_built_and_refuses_a_strangers_folder(tmp_path: Path) -> None:
    mutants.empty(tmp_path / "tree")
    for name in ("oracle", "out"):
        (tmp_path / "tree" / name).mkdir()
    mutants.empty(tmp_path / "tree")
    assert {path.name for path in (tmp_path / "tree").iterdir()} == {".mutants", "out"}
    with pytest.raises(SystemExit, match="no copy of ours"):
        mutants.empty(tmp_path)


def test_run_tells_what_passes_fails_hangs_and_does_not_compile(tmp_path: Path) -> None:
    def status(script: str, limit: float | None = None) -> str:
        return mutants.run(["sh", "-c", script], tmp_path, limit).status

    assert status("exit 0") == "survived"
    assert status("exit 1") == "killed"
    assert status("echo 'Error: Compiler run failed:'; exit 1") == "stillborn"
    assert status("sleep 60 & sleep 60", limit=0.2) == "hung"
