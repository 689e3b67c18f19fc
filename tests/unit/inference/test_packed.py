"""Sources that keep tensors in other files, as one file of the cache."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from oracle.errors import InferenceFailed, ModelMismatch, SecondOpinionDiffers
from oracle.exact.lowering.external import source_digest
from oracle.exact.lowering.graph import lower
from oracle.inference.certificates import name_of
from oracle.inference.engine import load_adviser
from oracle.inference.executor import Job
from oracle.inference.files import ModelFiles
from oracle.inference.packed import MAGIC, digest_of, packed, unpack
from oracle.tensor import to_bytes
from oracle.types import Assurance, FileKind, FileName, Model, Wei
from tests import chains
from tests.unit.exact.files import node, proto, tensor

X = np.array([5, 7], np.float32)


def saved(folder: Path) -> bytes:
    """y = x · (2, 3) + (1, 1), in three files."""
    nodes = [node("Mul", ["x", "w"], ["z"]), node("Add", ["z", "b"], ["y"])]
    w, b = np.array([2, 3], np.float32), np.ones(2, np.float32)
    onnx.save_model(
        proto(nodes, [tensor("x", [2])], ["y"], w=w, b=b),
        str(folder / "model.onnx"),
        save_as_external_data=True,
        all_tensors_to_one_file=False,
        size_threshold=0,
    )
    return (folder / "model.onnx").read_bytes()


def job(data: bytes, folder: Path, path: Path) -> Job:
    program = lower(data, folder=folder)
    model = Model(
        chains.address("publisher"),
        *("m", "1", program.root, source_digest(data, folder)),
        *(program.signature, Assurance.EXACT, Wei(0)),
    )
    return replace(Job.of(path, model, to_bytes(X)), file=model.source)


def test_a_packed_source_has_the_digest_of_its_files(tmp_path: Path) -> None:
    data = saved(tmp_path)
    files = ModelFiles(tmp_path / "cache")

    name = files.add(packed(data, tmp_path))

    assert name == FileName(FileKind.ONNX, source_digest(data, tmp_path))
    path = files.path(name)
    assert path is not None and name_of(path) == name
    with path.open("rb") as file:
        assert unpack(file) == [
            data,
            *((tmp_path / each).read_bytes() for each in sorted(("b", "w"))),
        ]


def test_onnxruntime_advises_on_a_packed_source(tmp_path: Path) -> None:
    data = saved(tmp_path)
    files = ModelFiles(tmp_path / "cache")
    path = files.path(files.add(packed(data, tmp_path)))
    assert path is not None

    adviser = load_adviser(path, job(data, tmp_path, path))

    adviser.advise(to_bytes(X), to_bytes(np.array([11, 22], np.float32)))
    with pytest.raises(SecondOpinionDiffers):
        adviser.advise(to_bytes(X), to_bytes(np.array([11, 23], np.float32)))


def test_a_packed_source_of_other_bytes_gives_no_opinion(tmp_path: Path) -> None:
    data = saved(tmp_path)
    path = tmp_path / "packed"
    whole = bytearray(b"".join(packed(data, tmp_path)))
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ModelMismatch):
        load_adviser(path, job(data, tmp_path, path))


def test_a_packed_source_that_lacks_a_file_gives_no_opinion(tmp_path: Path) -> None:
    """As a publisher may have it, who chooses the digest."""
    data = saved(tmp_path)
    path = tmp_path / "packed"
    pieces = [data, b"\x00\x00\x80?" * 2]
    path.write_bytes(MAGIC + b"".join(len(each).to_bytes(8, "big") + each for each in pieces))
    wanted = replace(job(data, tmp_path, path), file=name_of(path))
    with pytest.raises(InferenceFailed, match="is not there"):
        load_adviser(path, wanted)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MAGIC,
        MAGIC + bytes(8),  # one file alone
        MAGIC + bytes(15),
        MAGIC + bytes(8) + (1 << 62).to_bytes(8, "big"),
        MAGIC + bytes(8) + b"\xff" * 8,
        MAGIC + bytes(8 * ((1 << 16) + 1)),
        b"x" + MAGIC[1:] + bytes(16),
    ],
)
def test_what_is_no_packed_source_is_another_file(data: bytes) -> None:
    assert digest_of(io.BytesIO(data)) is None and not unpack(io.BytesIO(data))
