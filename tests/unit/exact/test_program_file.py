"""The program file: what it says is what its root binds, and nothing else is believed."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from oracle import samples
from oracle.errors import ModelRefused
from oracle.exact.limits import Limits
from oracle.exact.lowering.graph import lower
from oracle.exact.mapped import MAX_HEADER
from oracle.exact.program import Constant, Op, Operand, OperandKind, Program, ValueType
from oracle.exact.program_file import MOST_HASHED, certify, is_program, pack, read
from oracle.exact.run import Runner, infer, run
from oracle.inference import engine, findings
from oracle.merkle import records_root, tensor_root
from oracle.types import Assurance, DType, FileKind, FileName
from tests.unit.exact.files import file, node, tensor

WORD = 32
PROGRAM = FileName(FileKind.PROGRAM, bytes(32))


def small() -> Program:
    """One node: x·w + b."""
    w, b = np.array([[1, 2], [3, 4]], np.float32), np.array([5, 6], np.float32)
    return lower(
        file([node("Gemm", ["x", "w", "b"], ["y"])], [tensor("x", [1, 2])], ["y"], w=w, b=b)
    )


def two() -> Program:
    nodes = [node("Neg", ["x"], ["a"]), node("Add", ["a", "c"], ["y"])]
    return lower(file(nodes, [tensor("x", [3])], ["y"], c=np.array([1, 2, 3], np.float32)))


def again(program: Program, folder: Path) -> Program:
    path = folder / "program.safetensors"
    path.write_bytes(pack(program))
    return read(path)


# What comes back


@pytest.mark.parametrize(
    "sample", [samples.breast_cancer(), samples.gradient_boosting(), samples.digits()]
)
def test_read_gives_the_program_that_was_packed(sample: samples.Sample, tmp_path: Path) -> None:
    program = lower(sample.onnx)

    found = again(program, tmp_path)

    assert found.root == program.root and found.signature == program.signature
    assert (found.nodes, found.labels) == (renumbered(program), program.labels)
    for row in range(5):
        assert infer(found, sample.payload(row)) == infer(program, sample.payload(row))


def renumbered(program: Program) -> object:
    """The nodes, with constants counted as a reader meets them."""
    seen: dict[tuple[bytes, ValueType], int] = {}

    def place(operand: Operand) -> Operand:
        if operand.kind is not OperandKind.CONSTANT:
            return operand
        key = program.constants[operand.index].root, operand.type
        return replace(operand, index=seen.setdefault(key, len(seen)))

    return tuple(replace(each, operands=tuple(map(place, each.operands))) for each in program.nodes)


def test_pack_gives_the_same_bytes_again() -> None:
    assert pack(small(), b"\x01" * 32) == pack(small(), b"\x01" * 32)


def test_is_program_tells_it_from_an_onnx_file() -> None:
    assert is_program(pack(small())[:9])
    assert not is_program(samples.digits().onnx[:9]) and not is_program(b"")


def test_read_needs_no_names(tmp_path: Path) -> None:
    program = two()
    for metadata in (None, {"exactum": "["}, {"exactum": '{"nodes": 3, "inputs": [7]}'}):
        found = opened(tensors(program), tmp_path, metadata)
        assert found.root == program.root
        assert [each.name for each in found.signature.inputs] == ["input0"]
        assert [each.name for each in found.nodes] == ["", ""]


@pytest.mark.parametrize("name", ["\\ud800", "a" * 2_000_000])
def test_read_takes_no_name_that_an_answer_cannot_hold(name: str, tmp_path: Path) -> None:
    """Names bind nothing. One that JSON cannot hold, or that is longer than any finding, must keep
    nobody from accusing a liar."""
    program = small()
    metadata = {"exactum": f'{{"nodes": ["{name}"], "inputs": ["{name}"]}}'}

    found = opened(tensors(program), tmp_path, metadata)

    exact, payload, lie = engine.Exact(Runner(found)), bytes(8), bytes(8)
    for task in (engine.Pursue(lie), engine.Testify(lie)):
        job = engine.Job(
            tmp_path, PROGRAM, found.root, found.signature, Assurance.EXACT, payload, task
        )
        assert job.fits(len(exact.do(task, payload)))
    assert not findings.read_finding(exact.do(engine.Pursue(lie), payload)).is_right


def test_no_answer_says_a_name_of_the_file(tmp_path: Path) -> None:
    """Whichever file of a root came first is kept, and anybody may have named what is in it."""
    program, told = small(), set[tuple[bytes, ...]]()
    for name in ("honest", "owned"):
        metadata = {
            "exactum": f'{{"nodes": ["{name}"], "inputs": ["{name}"], "labels": ["{name}"]}}'
        }
        exact = engine.Exact(Runner(opened(tensors(program), tmp_path, metadata)))
        lie = bytes(8)
        model = bytes(1 << 20)  # which no transaction holds, so that it is unprovable
        tasks = engine.Pursue(lie), engine.Testify(lie), engine.Appraise(99, model)
        told.add(tuple(exact.do(task, bytes(8)) for task in tasks))
    [(found, _, flaw)] = told
    assert not findings.read_finding(found).is_right and flaw


# Bits that nobody reads


def tensors(program: Program) -> dict[str, np.ndarray]:
    return dict(load(pack(program)))


def opened(
    parts: dict[str, np.ndarray],
    folder: Path,
    metadata: dict[str, str] | None = None,
    limits: Limits | None = None,
) -> Program:
    path = folder / "changed.safetensors"
    path.write_bytes(save(parts, metadata=metadata))
    return read(path, limits)


def changed(program: Program, at: int, bits: bytes) -> dict[str, np.ndarray]:
    """The parts of its file, with these bytes at that place of the records."""
    parts = tensors(program)
    records = parts["records"].copy()
    records[at : at + len(bits)] = np.frombuffer(bits, np.uint8)
    return parts | {"records": records}


HEADER = 5 * WORD  # bytes of the header of `two` and `small`


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(HEADER + 2 * WORD - 1, id="behind a node's counts"),
        pytest.param(HEADER + 5 * WORD + 7, id="the root of what is no constant"),
    ],
)
def test_read_takes_any_bits_that_the_referee_does_not_read(at: int, tmp_path: Path) -> None:
    """Whoever refused them could not convict a lie about them."""
    program = two()
    found = opened(changed(program, at, b"\x05"), tmp_path)

    assert found.root != program.root
    assert found.root == records_root(found.records)
    assert infer(found, bytes(12)) == infer(program, bytes(12))


def test_read_takes_any_number_for_a_constant(tmp_path: Path) -> None:
    """Its root says which one it is."""
    program = small()
    reference = HEADER + 6 * WORD
    found = opened(changed(program, reference + 1, b"\x00\x00\x00\x63"), tmp_path)

    assert found.root != program.root and infer(found, bytes(8)) == infer(program, bytes(8))


def with_constant(array: np.ndarray, raw: np.ndarray, tmp_path: Path) -> tuple[Program, bytes]:
    """A program of x + c or of Not-like ops, whose constant stands in its file as `raw`."""
    kind = OperandKind.CONSTANT
    program = two()
    root = tensor_root(raw)
    constant = Constant(array, ValueType(DType.FLOAT, (3,)), raw)
    assert constant.root == root and program.nodes[1].operands[1].kind is kind
    replaced = replace(program, constants=(constant,))
    return again(replaced, tmp_path), root


def test_read_takes_a_negative_zero_and_an_odd_nan_for_their_canonical_forms(
    tmp_path: Path,
) -> None:
    raw = np.array([0x80000000, 0xFFC12345, 0x3F800000], np.uint32)
    array = np.array([0, np.nan, 1], np.float32)

    program, root = with_constant(array, raw, tmp_path)

    [constant] = program.constants
    assert constant.root == root != tensor_root(array)
    assert constant.array.view(np.uint32).tolist() == [0, 0x7FC00000, 0x3F800000]
    [y] = run(program, [np.zeros(3, np.float32)])
    assert y.view(np.uint32).tolist() == [0, 0x7FC00000, 0x3F800000]


def test_read_takes_any_byte_but_zero_for_true(tmp_path: Path) -> None:
    nodes = [node("Where", ["c", "x", "z"], ["y"])]
    made = file(
        nodes, [tensor("x", [3])], ["y"], c=np.array([True, False, True]), z=np.zeros(3, np.float32)
    )
    program = lower(made)
    parts = tensors(program)
    index = next(at for at, each in enumerate(program.constants) if each.type.dtype is DType.BOOL)
    old = program.constants[index].root
    odd = np.array([2, 0, 255], np.uint8)
    parts.pop(f"constant.{old.hex()}")
    parts[f"constant.{tensor_root(odd).hex()}"] = odd
    records = parts["records"].tobytes().replace(old, tensor_root(odd))
    found = opened(parts | {"records": np.frombuffer(records, np.uint8)}, tmp_path)

    assert found.root != program.root
    assert [y.tolist() for y in run(found, [np.array([7, 8, 9], np.float32)])] == [[7, 0, 9]]


# What is refused

NODE = HEADER  # where the first node of `two` begins
SECOND = NODE + 6 * WORD


@pytest.mark.parametrize(
    ("at", "bits", "why"),
    [
        (0, b"\x00", "do not begin with a program's header"),
        (WORD + 7, b"\x02", "version 2 of the law"),
        (WORD + 15, b"\x03", "its header tells of 3 nodes; there are 2"),
        (2 * WORD, b"\x63", "a type of its is none"),
        (2 * WORD + 1, b"\x08", "a type of its is none"),
        (2 * WORD + 2, b"\x80", "a type of its is none"),
        (2 * WORD + 31, b"\x01", "a type of its is none"),
        (3 * WORD + 31, b"\x07", "an operand is of what does not come before"),
        (4 * WORD + 5, b"\x04", "reads float.* as float"),
        (NODE, b"\x00", "node 0: its record is not that of a node"),
        (NODE + WORD + 3, b"\x99", "node 0: there is no primitive 0x0299"),
        (NODE + WORD + 11, b"\x01", "node 0: its record is not that of a node, or of another one"),
        (NODE + 2 * WORD + 5, b"\x04", r"node 0: NEG gives float\[3\], and its record says"),
        (NODE + 3 * WORD, b"\x03", "node 0: an operand's reference is none"),
        (NODE + 3 * WORD + 20, b"\x01", "node 0: an operand's reference is none"),
        (NODE + 3 * WORD + 4, b"\x01", "node 0: an operand is of what does not come before"),
        (NODE + 4 * WORD + 5, b"\x04", r"node 0: an operand reads float\[3\] as float\[4\]"),
        (SECOND + 3 * WORD + 4, b"\x01", "node 1: an operand is of what does not come before"),
        (SECOND + 8 * WORD, b"\x01" * 32, "node 1: the constant of root 0x0101.* is missing"),
        (NODE + WORD + 15, b"\x00", "a node reads nothing"),
        (SECOND + WORD + 15, b"\x03", "its last record ends before its end"),
    ],
)
def test_read_refuses_what_no_referee_would_judge(
    at: int, bits: bytes, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match=why):
        opened(changed(two(), at, bits), tmp_path)


def cut_constant(parts: dict[str, np.ndarray]) -> None:
    [name] = [each for each in parts if each != "records"]
    parts[name] = parts[name][:-1]


def other_constant(parts: dict[str, np.ndarray]) -> None:
    [name] = [each for each in parts if each != "records"]
    parts[name] = -parts[name]


def no_records(parts: dict[str, np.ndarray]) -> None:
    del parts["records"]


def wide_records(parts: dict[str, np.ndarray]) -> None:
    parts["records"] = parts["records"].astype(np.uint16)


def more_records(parts: dict[str, np.ndarray]) -> None:
    parts["records"] = np.r_[parts["records"], np.zeros(7, np.uint8)]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (cut_constant, r"has not all of float\[3\]"),
        (other_constant, "has another root"),
        (no_records, "it has no tensor 'records'"),
        (wide_records, "it has no tensor 'records' of a dtype of ours"),
        (more_records, "a node reads nothing|ends before its end"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_read_refuses_parts_that_do_not_belong_together(
    spoil: Callable[[dict[str, np.ndarray]], None], why: str, tmp_path: Path
) -> None:
    parts = tensors(two())
    spoil(parts)
    with pytest.raises(ModelRefused, match=why):
        opened(parts, tmp_path)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff" * 64, samples.digits().onnx, pack(two())[:-1]])
def test_read_refuses_what_is_no_such_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(data)
    with pytest.raises(ModelRefused, match="it is no safetensors file that can be read"):
        read(path)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(nodes=1), "more than 1 primitives"),
        (Limits(elements=2), "more than 2 elements"),
        (Limits(live_bytes=11), "its constants take more than 11 bytes"),
        (Limits(live_bytes=30), "a run would hold more than 30 bytes"),
        (Limits(work=1), "more than 1 multiply-adds"),
        (Limits(record_bytes=159), "its records take more than 159 bytes"),
    ],
)
def test_read_keeps_to_the_limits_of_whoever_runs_it(
    limits: Limits, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match=why):
        opened(tensors(two()), tmp_path, limits=limits)


def test_read_refuses_attributes_that_are_none(tmp_path: Path) -> None:
    """Numbers of 256 bits, and fewer than a rule expects."""
    nodes = [node("Transpose", ["x"], ["y"], perm=[1, 0])]
    program = lower(file(nodes, [tensor("x", [2, 3])], ["y"]))
    assert program.nodes[0].op is Op.TRANSPOSE
    for number in (b"\x7f" + bytes(31), b"\xff" * 32):
        with pytest.raises(ModelRefused, match="node 0: TRANSPOSE"):
            opened(changed(program, len(b"".join(program.records)) - WORD, number), tmp_path)
    records = tensors(program)["records"][:-WORD].copy()
    records[HEADER + WORD + 19] = 1  # one attribute
    with pytest.raises(ModelRefused, match="node 0: TRANSPOSE"):
        opened({"records": records}, tmp_path)


MEMORY = """
import resource
import sys
from pathlib import Path

from oracle import merkle
from oracle.exact.program_file import read
from oracle.exact.run import Runner

merkle.load()
data = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) << 10
most = data + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
program = read(Path(sys.argv[1]))
runner = Runner(program) if sys.argv[3] == "runs" else None
print(sum(each.type.nbytes for each in program.constants))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it")
def test_read_takes_no_more_memory_than_the_constants_and_64_mebibytes(tmp_path: Path) -> None:
    """However large they are. They stay in the file's pages, which any number of processes share:
    memory of its own takes only a constant that does not stand there in its canonical form."""
    weights = np.ones((4096, 4096), np.float32)
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("MatMul", ["a", "v"], ["y"])]
    made = file(nodes, [tensor("x", [1, 4096])], ["y"], w=weights, v=weights * 2)
    path = tmp_path / "large.safetensors"
    path.write_bytes(pack(lower(made)))

    def read_within(limit: int, what: str = "reads") -> str:
        command = [sys.executable, "-c", MEMORY, str(path), str(limit), what]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    size = 2 * weights.nbytes
    assert read_within(64 << 20) == f"{size}\n"
    assert read_within(1 << 12) == ""  # the limit is one
    # Kernels pack weights in the order in which they read them.
    assert read_within(size + (64 << 20), "runs") == f"{size}\n"


# What certifies it


def test_certify_gives_the_root(tmp_path: Path) -> None:
    path = tmp_path / "program"
    for program in (two(), lower(samples.gradient_boosting().onnx)):
        path.write_bytes(pack(program))
        assert certify(path) == program.root


@pytest.mark.parametrize("spoil", [cut_constant, other_constant, no_records, more_records])
def test_certify_refuses_what_lacks_a_part(
    spoil: Callable[[dict[str, np.ndarray]], None], tmp_path: Path
) -> None:
    """Right records alone are no file to run, and another source may have it whole."""
    parts = tensors(two())
    spoil(parts)
    path = tmp_path / "spoilt"
    path.write_bytes(save(parts))
    with pytest.raises(ModelRefused):
        certify(path)


@pytest.mark.parametrize("places", [1, 2, 3])
def test_a_float_zero_is_read_where_zeros_of_another_size_stand(
    places: int, tmp_path: Path
) -> None:
    """They have one root, and the file has the longest of what lies under it."""
    nodes = [node("Gather", ["x", "i"], ["a"]), node("Relu", ["a"], ["y"])]
    index = np.zeros(places, np.int64)
    program = lower(file(nodes, [tensor("x", [2])], ["y"], i=index))
    assert len(tensors(program)) == 2 and len(program.constants) == 2

    found = again(program, tmp_path)

    assert certify(tmp_path / "program.safetensors") == found.root == program.root
    assert run(found, [np.array([7, 8], np.float32)])[0].tolist() == [7] * places


def test_read_refuses_to_concatenate_what_no_referee_would(tmp_path: Path) -> None:
    """A run would fail for it without a named error."""
    nodes = [node("Concat", ["x", "z"], ["y"], axis=1)]
    inputs = [tensor("x", [2, 3]), tensor("z", [2, 1])]
    program = lower(file(nodes, inputs, ["y"]))
    assert [each.op for each in program.nodes] == [Op.CONCAT]
    for dims in ((1, 2), (2, 1, 1)):
        type_ = bytes([DType.FLOAT, len(dims)]) + b"".join(dim.to_bytes(4, "big") for dim in dims)
        at = len(b"".join(program.records)) - 2 * WORD
        with pytest.raises(ModelRefused, match="not matrices of as many rows"):
            opened(changed(program, at, type_), tmp_path)


@pytest.mark.parametrize("dims", [(0, 1 << 30, 1 << 30, 1 << 30), (1 << 30, 1 << 30, 0)])
def test_no_dims_beside_a_zero_are_longer_than_numpy_holds(
    dims: tuple[int, ...], tmp_path: Path
) -> None:
    """One of them among the inputs would fail each run, and no other value of the program could be
    disputed."""
    zeros = np.zeros(0, np.float32)
    type_ = bytes([DType.FLOAT, len(dims)]) + b"".join(dim.to_bytes(4, "big") for dim in dims)
    operand = type_.ljust(WORD, b"\0") + tensor_root(zeros)
    program = two()
    at = len(b"".join(program.records)) - 2 * WORD
    parts = changed(program, at, operand) | {f"constant.{tensor_root(zeros).hex()}": zeros}
    path = tmp_path / "long dims"
    path.write_bytes(save(parts))
    for take in (certify, read):
        with pytest.raises(ModelRefused, match="elements"):
            take(path)
    with pytest.raises(ModelRefused, match="elements"):
        opened(changed(program, 2 * WORD, type_), tmp_path)


@pytest.mark.parametrize("take", [certify, read])
def test_no_head_is_read_that_is_longer_than_any(
    take: Callable[[Path], object], tmp_path: Path
) -> None:
    """Whoever parsed it would need many times its length in memory."""
    path = tmp_path / "long head"
    with path.open("wb") as opened:
        opened.write((MAX_HEADER + 1).to_bytes(8, "little") + b"{")
        opened.truncate(4 * MAX_HEADER)
    with pytest.raises(ModelRefused, match="its header is longer than"):
        take(path)


@pytest.mark.parametrize("head", [b"[" * 100_000, b"{}", b'{"records": 3}', b"[]", b"\xff"])
def test_no_head_makes_certify_stumble(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd head"
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(64))
    with pytest.raises(ModelRefused):
        certify(path)


@pytest.mark.parametrize("offsets", [[-8, 8], [0, 1 << 70], [8, 0], ["a", "b"], [0.5, 8.5], [0]])
def test_no_tensor_lies_beyond_its_file(offsets: list[object], tmp_path: Path) -> None:
    head = json.dumps({"records": {"dtype": "U8", "shape": [8], "data_offsets": offsets}}).encode()
    path = tmp_path / "odd places"
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(64))
    with pytest.raises(ModelRefused):
        certify(path)


def test_certify_hashes_no_more_than_a_program_may_hold(tmp_path: Path) -> None:
    """Lengths that differ by zeros share a root, so one constant could be hashed many times."""
    size = 1 << 24
    records = [two().records[0]]
    zeros = np.zeros(size, np.uint8)
    root = tensor_root(zeros)
    add = two().records[2]
    for cut in range(1 << 10):
        type_ = bytes([DType.UINT8, 1]) + (size - cut).to_bytes(4, "big") + bytes(26)
        records.append(add[: 7 * WORD] + type_ + root)
    parts = {
        "records": np.frombuffer(b"".join(records), np.uint8),
        f"constant.{root.hex()}": zeros,
    }
    path = tmp_path / "again and again"
    path.write_bytes(save(parts))
    with pytest.raises(ModelRefused, match="its constants take more than"):
        certify(path)


def test_certify_hashes_no_more_than_some_times_the_file(tmp_path: Path) -> None:
    """A small file could keep whoever fetches it at work for long."""
    size = 1 << 17
    zeros, records = np.zeros(size, np.uint8), [two().records[0]]
    for cut in range(2 * MOST_HASHED):
        type_ = bytes([DType.UINT8, 1]) + (size - cut).to_bytes(4, "big") + bytes(26)
        records.append(two().records[2][: 7 * WORD] + type_ + tensor_root(zeros))
    parts = {f"constant.{tensor_root(zeros).hex()}": zeros}
    path = tmp_path / "small"
    for named, is_whole in ((MOST_HASHED, True), (2 * MOST_HASHED, False)):
        row = np.frombuffer(b"".join(records[: named + 1]), np.uint8)
        path.write_bytes(save(parts | {"records": row}))
        if is_whole:
            assert certify(path) == records_root(records[: named + 1])
        else:
            with pytest.raises(ModelRefused, match="more than 8 times its length"):
                certify(path)


def test_read_takes_bytes_under_one_root_for_elements_of_another_size(tmp_path: Path) -> None:
    """A root binds bytes. Those of int32 [1, 2, 3] are float32 and int8 as well."""
    numbers = np.array([1, 0x3F800000, -3], np.int32)
    parts = tensors(two())
    [name] = [each for each in parts if each != "records"]
    root = tensor_root(numbers)
    records = parts["records"].tobytes().replace(bytes.fromhex(name.partition(".")[2]), root)
    wanted = numbers.view(np.float32).tolist()
    for stored in (numbers, np.frombuffer(numbers.astype(">i4").tobytes(), np.int8)):
        found = opened(
            {"records": np.frombuffer(records, np.uint8), f"constant.{root.hex()}": stored},
            tmp_path,
        )
        [constant] = found.constants
        assert constant.root == root
        np.testing.assert_array_equal(constant.array, wanted)


def test_constants_lie_in_the_file(tmp_path: Path) -> None:
    """So processes share them, and what is written there is read by any tool."""
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    made = file([node("MatMul", ["x", "w"], ["y"])], [tensor("x", [1, 3])], ["y"], w=weights)
    program = again(lower(made), tmp_path)

    [constant] = program.constants
    assert not constant.array.flags.owndata and not constant.array.flags.writeable
    [stored] = [each for name, each in tensors(program).items() if name != "records"]
    assert stored.dtype == np.float32 and stored.tolist() == weights.T.tolist()
