"""Writes the program roots of models that never change: a lowering that gives another program to
one of them is seen in review, whether or not its results differ.

ONNX's own cases that pass, the samples, and the tests' models are in tests/conformance/roots.txt;
the networks of `./dev models`, as far as they are here, in roots_of_networks.txt beside it. --check
compares instead, and says which models are lowered to another program.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from oracle import samples
from oracle.exact.lowering.graph import lower
from oracle.exact.program import Program
from scripts import bits
from scripts.models import more_networks, networks
from tests import long_models
from tests.conformance.cases import cases, program
from tests.networks import network

FOLDER = Path(__file__).resolve().parent.parent / "tests/conformance"
PASSING = FOLDER / "passing.txt"
ROOTS = FOLDER / "roots.txt"
OF_NETWORKS = FOLDER / "roots_of_networks.txt"

Roots = Mapping[str, str]


def committed(path: Path) -> dict[str, str]:
    """Reads a file of roots: a line a model, its name and its root."""
    return dict(line.split() for line in path.read_text().splitlines())


def found() -> dict[str, str]:
    """Lowers the models that are everywhere. What is refused has no root."""
    programs = dict(_programs())
    return {name: program.root.hex() for name, program in programs.items() if program is not None}


def _programs() -> Iterator[tuple[str, Program | None]]:
    for name in PASSING.read_text().split():
        yield name, program(cases()[name])
    for sample in (samples.breast_cancer(), samples.gradient_boosting(), samples.digits()):
        yield f"sample_{sample.name}", lower(sample.onnx)
    for model in (make() for make in bits.SAMPLES):
        yield f"bits_{model.name}", lower(model.onnx())
    yield "network", network().program
    for name, make_long in long_models.MODELS.items():
        yield f"panels_{name}", lower(make_long()[0])


def found_of_networks() -> dict[str, str]:
    """Lowers the networks that are here."""
    here = (model for model in (*networks(), *more_networks()) if model.is_here)
    return {model.name: lower(model.onnx(), model.dims).root.hex() for model in here}


def changes(known: Roots, found: Roots) -> list[str]:
    """Says in a line for each model how the two differ."""
    return [
        f"{name}: committed {known.get(name, 'none')[:16]}, found {found.get(name, 'none')[:16]}"
        for name in sorted({*known, *found})
        if known.get(name) != found.get(name)
    ]


def write(path: Path, roots: Roots) -> None:
    path.write_text("".join(f"{name} {root}\n" for name, root in sorted(roots.items())))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="./dev roots")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    arguments = parser.parse_args()
    of_networks = committed(OF_NETWORKS)  # those that are not here stay as they are
    wanted = {ROOTS: found(), OF_NETWORKS: of_networks | found_of_networks()}
    if not arguments.check:
        for path, roots in wanted.items():
            write(path, roots)
        return 0
    differ = [line for path, roots in wanted.items() for line in changes(committed(path), roots)]
    if differ:
        print(*differ, sep="\n", file=sys.stderr)
        print(
            f"{len(differ)} programs are not the committed ones. If that is meant, `./dev roots`"
            " accepts them, and the changed lines belong into the commit that changes them.",
            file=sys.stderr,
        )
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
