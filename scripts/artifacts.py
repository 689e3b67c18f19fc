"""Compiles the contracts into `oracle/chain/artifacts`, the same bytes on every machine.

Each contract is compiled alone with what it imports, under fixed source names and the settings of
foundry.toml, so that neither another contract nor a folder's name changes its code. The same input
verifies it on a block explorer: `--standard-json NAME` prints it.

py-solc-x drives the compiler: its own where it has it or can fetch it, else npm's by way of
scripts/solc.cjs; $SOLC names another. All give the same bytes, which `--check` holds against git.
"""

import argparse
import json
import os
import posixpath
import re
import socket
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import solcx
from solcx.exceptions import (
    DownloadError,
    SolcError,
    SolcInstallationError,
    SolcNotInstalled,
    UnexpectedVersionError,
)

ROOT = Path(__file__).resolve().parents[1]
ARTIFACTS = ROOT / "oracle/chain/artifacts"
NPM_SOLC = ROOT / "scripts/solc.cjs"
NATIVE = ROOT / ".build/solc"
BINARIES = ("binaries.soliditylang.org", 443)
# Chains take 24,576 (EIP-170); the rest is room for a mend.
MAX_CODE = 24_000

# Each file holds a contract of its own name.
SOURCES = (
    "contracts/ModelRegistry.sol",
    "contracts/InferenceQueue.sol",
    "contracts/Disputes.sol",
    "contracts/Referee.sol",
    "contracts/ModelCode.sol",
    "contracts/Evaluator.sol",
    "contracts/evaluation/Transcendentals.sol",
    "contracts/Deployer.sol",
    *sorted(
        str(path.relative_to(ROOT))
        for path in ROOT.glob("contracts/ops/*.sol")
        if path.stem != "Operation"
    ),
    "contracts/interfaces/IInferenceConsumer.sol",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("contracts/examples/*.sol")),
)

OUTPUTS = (
    "abi",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
    "metadata",
    "storageLayout",
)

IMPORT = re.compile(r'^\s*import\b[^;"]*"([^"]+)"\s*;', re.MULTILINE)
NUMBERED_TYPE = re.compile(r"(t_(?:struct|enum|contract|userDefinedValueType)\(\w+\))\d+")


class CompilationFailed(Exception):
    pass


def profile() -> dict[str, Any]:
    content = tomllib.loads((ROOT / "foundry.toml").read_text())
    found: dict[str, Any] = content["profile"]["default"]
    return found


def compiler(folder: Path = NATIVE) -> Path:
    """Finds the compiler of foundry.toml's version, and fetches it where that is possible."""
    if chosen := os.environ.get("SOLC"):
        return Path(chosen)
    version = profile()["solc"]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if version not in map(str, solcx.get_installed_solc_versions(folder)):
            # py-solc-x would wait for ever where packets are dropped.
            socket.create_connection(BINARIES, timeout=3).close()
            solcx.install_solc(version, solcx_binary_path=folder)
        return solcx.install.get_executable(version, folder)
    except (
        OSError,
        DownloadError,
        SolcInstallationError,
        SolcNotInstalled,
        UnexpectedVersionError,
    ):
        return NPM_SOLC


def settings() -> dict[str, Any]:
    by = profile()
    return {
        "evmVersion": by["evm_version"],
        "metadata": {
            "appendCBOR": by["cbor_metadata"],
            "bytecodeHash": by["bytecode_hash"],
            "useLiteralContent": False,
        },
        "optimizer": {"enabled": by["optimizer"], "runs": by["optimizer_runs"]},
        "remappings": [],
        "viaIR": by["via_ir"],
    }


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def closure(name: str, seen: dict[str, str] | None = None) -> dict[str, str]:
    """Reads the text of `name` and of all it imports, by source name."""
    seen = {} if seen is None else seen
    if name not in seen:
        seen[name] = read(name)
        for target in IMPORT.findall(seen[name]):
            closure(posixpath.normpath(f"{posixpath.dirname(name)}/{target}"), seen)
    return seen


def standard_json(source: str) -> dict[str, Any]:
    contract = Path(source).stem
    return {
        "language": "Solidity",
        "settings": settings()
        | {"outputSelection": {source: {contract: list(OUTPUTS)}, "*": {"": ["ast"]}}},
        "sources": {name: {"content": text} for name, text in sorted(closure(source).items())},
    }


def compiled(source: str, solc: Path) -> str:
    """Compiles one contract to its artifact, the text of its file."""
    try:
        output = solcx.compile_standard(standard_json(source), solc_binary=solc)
    except SolcError as error:
        raise CompilationFailed(error.message or error.stderr_data) from error
    contract = Path(source).stem
    built = output["contracts"][source][contract]
    metadata = json.loads(built["metadata"])
    deployed = built["evm"]["deployedBytecode"]
    immutables = deployed["immutableReferences"]
    names = dict(names_by_id([s["ast"] for s in output["sources"].values()])) if immutables else {}
    artifact = {
        "abi": built["abi"],
        "bytecode": "0x" + built["evm"]["bytecode"]["object"],
        "compiler": metadata["compiler"]["version"],
        "contractName": contract,
        "deployedBytecode": "0x" + deployed["object"],
        "immutableReferences": {names[int(i)]: places for i, places in immutables.items()},
        "settings": settings(),
        "sourceName": source,
        "sources": {name: entry["keccak256"] for name, entry in metadata["sources"].items()},
        "storageLayout": without_ids(built.get("storageLayout") or {}),
    }
    return json.dumps(artifact, indent=2, sort_keys=True) + "\n"


def names_by_id(tree: object) -> Iterator[tuple[int, str]]:
    if isinstance(tree, list):
        for branch in tree:
            yield from names_by_id(branch)
    elif isinstance(tree, dict):
        if tree.get("mutability") == "immutable":
            yield tree["id"], tree["name"]
        yield from names_by_id([branch for branch in tree.values() if branch])


def without_ids(tree: Any) -> Any:
    """Removes the numbers that the compiler gives to its syntax tree, because they would move with
    every edit elsewhere."""
    if isinstance(tree, list):
        return [without_ids(branch) for branch in tree]
    if isinstance(tree, dict):
        return {without_ids(k): without_ids(v) for k, v in tree.items() if k != "astId"}
    return NUMBERED_TYPE.sub(r"\1", tree) if isinstance(tree, str) else tree


def oversized(texts: dict[str, str]) -> list[str]:
    """Says in a sentence of each contract whose code is too long."""
    lengths = {
        name: len(json.loads(text)["deployedBytecode"]) // 2 - 1 for name, text in texts.items()
    }
    return [
        f"{name} holds {length:,} bytes of code; {MAX_CODE:,} are allowed: split the contract"
        for name, length in sorted(lengths.items())
        if length > MAX_CODE
    ]


def differences(fresh: dict[str, str], folder: Path) -> list[str]:
    """Lists the names of files in `folder` that differ from `fresh`, or that should not be
    there."""
    found = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    wanted = {name: text.encode() for name, text in fresh.items()}
    return sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare every byte, write nothing")
    parser.add_argument("--standard-json", metavar="NAME", help="print the compiler's input")
    parser.add_argument("--folder", type=Path, default=ARTIFACTS, help="default: %(default)s")
    arguments = parser.parse_args()

    if arguments.standard_json:
        names = {Path(source).stem: source for source in SOURCES}
        if arguments.standard_json not in names:
            parser.error(f"no contract {arguments.standard_json}; there are {', '.join(names)}")
        print(json.dumps(standard_json(names[arguments.standard_json]), indent=2))
        return 0
    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            texts = list(pool.map(compiled, SOURCES, repeat(compiler())))
    except (CompilationFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    fresh = {f"{Path(s).stem}.json": text for s, text in zip(SOURCES, texts, strict=True)}
    too_large = oversized(fresh)
    for sentence in too_large:
        print(sentence, file=sys.stderr)
    different = differences(fresh, arguments.folder)
    if arguments.check:
        for name in different:
            place = os.path.relpath(arguments.folder / name, ROOT)
            print(f"{place} differs from what compiles: run ./dev artifacts", file=sys.stderr)
        return 1 if different or too_large else 0
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in different:
        if name in fresh:
            (arguments.folder / name).write_text(fresh[name], encoding="utf-8", newline="\n")
            print(f"wrote {name}", file=sys.stderr)
        else:
            (arguments.folder / name).unlink()
            print(f"removed {name}", file=sys.stderr)
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
