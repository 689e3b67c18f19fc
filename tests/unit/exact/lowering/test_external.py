"""Tensors in other files of a folder: what is lowered, how its source is named, and what a hostile
file may not reach."""

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from oracle.errors import ModelRefused
from oracle.exact.limits import Limits
from oracle.exact.lowering.external import source_digest, whole
from oracle.exact.lowering.graph import lower
from tests.unit.exact.files import node, proto, tensor
from tests.unit.exact.lowering.test_integers import constant

W = np.arange(6, dtype=np.float32).reshape(3, 2)


def inside() -> ModelProto:
    """Constants of three dtypes, and one in a branch."""
    nodes = [
        node("MatMul", ["x", "w"], ["z"]),
        node("DequantizeLinear", ["q", "s"], ["bias"]),
        helper.make_node("Add", ["z", "bias"], ["sum"]),
        helper.make_node("Cast", ["h"], ["half"], to=TensorProto.FLOAT),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch(), else_branch=branch()),
    ]
    made = proto(
        nodes, [tensor("x", [1, 3])], ["y"], w=W, yes=np.array(True), s=np.array(0.5, np.float32)
    )
    made.graph.initializer.append(constant("q", TensorProto.INT4, np.array([-3, 7]), raw=True))
    made.graph.initializer.append(numpy_helper.from_array(np.array([0.5, 2], np.float16), "h"))
    return made


def branch():
    nodes = [node("Add", ["sum", "half"], ["t"]), helper.make_node("Mul", ["t", "f"], ["out"])]
    factor = numpy_helper.from_array(np.float32([2, 3]), "f")
    return helper.make_graph(nodes, "branch", [], [tensor("out", None)], [factor])


def saved(folder: Path, made: ModelProto, **options) -> bytes:
    path = folder / "model.onnx"
    options = {"size_threshold": 0, "all_tensors_to_one_file": False} | options
    onnx.save_model(made, str(path), save_as_external_data=True, **options)
    return path.read_bytes()


@pytest.mark.parametrize("one_file", [False, True])
def test_lower_reads_tensors_beside_the_file(tmp_path, one_file):
    names = {"location": "weights.bin", "all_tensors_to_one_file": True} if one_file else {}
    data = saved(tmp_path, inside(), **names)
    wanted = lower(inside().SerializeToString()).root
    assert lower(data, folder=tmp_path).root == wanted
    assert lower(whole(data, tmp_path)).root == wanted
    with pytest.raises(ModelRefused, match="outside the file"):
        lower(data)


def test_lower_reads_tensors_of_attributes_beside_the_file(tmp_path):
    """onnx.save_model with convert_attribute=True puts Constants there too."""
    made = inside()
    made.graph.node[0].input[1] = "k"
    made.graph.node.insert(
        0, helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(W))
    )
    wanted = lower(made.SerializeToString()).root
    data = saved(tmp_path, made, convert_attribute=True)
    assert lower(data, folder=tmp_path).root == wanted
    with pytest.raises(ModelRefused, match="outside the file"):
        lower(data)


def test_a_source_is_named_by_all_of_its_files(tmp_path):
    data = saved(tmp_path, inside())
    sha256 = hashlib.sha256
    own = sha256(data).digest()
    files = sorted(path for path in tmp_path.iterdir() if path.suffix != ".onnx")
    digests = b"".join(sha256(path.read_bytes()).digest() for path in files)
    assert source_digest(data, tmp_path) == sha256(own + digests).digest()
    changed = files[0].read_bytes()
    files[0].write_bytes(bytes([changed[0] ^ 1]) + changed[1:])
    assert source_digest(data, tmp_path) != sha256(own + digests).digest()
    plain = inside().SerializeToString()
    assert source_digest(plain, tmp_path) == sha256(plain).digest()
    assert whole(plain, tmp_path) == plain


def pointing(**said: str) -> bytes:
    """A file whose one tensor, of 24 bytes, is said to be there."""
    made = proto([node("MatMul", ["x", "w"], ["y"])], [tensor("x", [1, 3])], ["y"], w=W)
    weights = made.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in said.items():
        weights.external_data.add(key=key, value=value)
    return made.SerializeToString()


def refusal(folder: Path, data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(data, limits=limits, folder=folder)
    return str(refused.value)


def test_a_part_of_a_file_is_read(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "w").write_bytes(b"12345" + W.tobytes() + b"rest")
    data = pointing(location="./inner//w", offset="5", length="24", checksum="of it")
    assert lower(data, folder=tmp_path).constants[0].array.tolist() == W.T.tolist()


@pytest.mark.parametrize(
    "location", ["", ".", "..", "../w", "in/../../w", "/etc/passwd", "/dev/zero", "w\x00x", "w\nx"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, location):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "w").write_bytes(W.tobytes())
    data = pointing(location=location)
    assert "is said to be at" in refusal(folder, data)
    for function in (source_digest, whole):
        with pytest.raises(ModelRefused, match="is said to be at"):
            function(data, folder)


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "w").write_bytes(W.tobytes())
    (folder / "link").symlink_to(tmp_path / "w")
    (folder / "away").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    for location in ("link", "away/w", "missing", "missing/w"):
        assert "cannot be read" in refusal(folder, pointing(location=location))
        with pytest.raises(ModelRefused, match="cannot be read"):
            source_digest(pointing(location=location), folder)
    for location in ("pipe", "inner"):
        assert f"'{location}' is no plain file" in refusal(folder, pointing(location=location))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "is said to be at ''"),
        ({"location": "w", "offset": "-1"}, "not said where"),
        ({"location": "w", "offset": "one"}, "not said where"),
        ({"location": "w", "offset": "٣"}, "not said where"),
        ({"location": "w", "compression": "zip"}, "not said where"),
        ({"location": "w", "offset": "9" * 19}, "beyond any file"),
        ({"location": "w", "offset": "25"}, "ends behind the 24 bytes of 'w'"),
        ({"location": "w", "offset": "1", "length": "24"}, "ends behind the 24 bytes"),
        ({"location": "w", "offset": "4"}, "20 bytes of data in place of 24"),
        ({"location": "w", "length": "12"}, "12 bytes of data in place of 24"),
    ],
)
def test_a_place_that_is_none_is_refused(tmp_path, said, why):
    (tmp_path / "w").write_bytes(W.tobytes())
    assert why in refusal(tmp_path, pointing(**said))


def test_two_places_of_one_tensor_are_refused(tmp_path):
    model = ModelProto.FromString(pointing(location="w"))
    model.graph.initializer[0].external_data.add(key="location", value="v")
    assert "not said where" in refusal(tmp_path, model.SerializeToString())


def test_no_more_is_read_than_a_tensor_may_have(tmp_path):
    with (tmp_path / "w").open("wb") as file:
        file.truncate(1 << 40)  # of which nothing is on the disk
    why = refusal(tmp_path, pointing(location="w"), Limits(elements=100))
    assert f"tensor 'w' has {1 << 40} bytes; use 800 bytes or fewer" in why
    with pytest.raises(ModelRefused, match="bytes or fewer"):
        whole(pointing(location="w"), tmp_path)
