import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from oracle import serialization
from oracle.errors import (
    InferenceFailed,
    InferenceTooSlow,
    ModelMismatch,
    ModelRefused,
    ModelUnavailable,
    PayloadError,
    WrongPayloadLength,
)
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack
from oracle.exact.proofs.cost import TraceWork
from oracle.inference import engine as tasks
from oracle.inference import executor as executors
from oracle.inference.engine import Advise, Infer, Open, Price, Pursue, dims_of, load_engine
from oracle.inference.executor import Executor, Job
from oracle.inference.onnxruntime import Native
from oracle.types import LEAVES, VALUE_TREE, Assurance, FileKind, FileName, Part, Signature

MIN_INT = -(2**31)


def value(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def onnx(nodes, inputs, outputs):
    graph = h.make_graph(nodes, "graph", inputs, outputs)
    opsets = [h.make_opsetid("", 17)]
    return h.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def binary(op, dtype=T.FLOAT, shape=(1,)):
    """c = a op b."""
    return onnx(
        [h.make_node(op, ["a", "b"], ["c"])],
        [value("a", dtype, shape), value("b", dtype, shape)],
        [value("c", dtype, shape)],
    )


def zeros():
    """How many of n zeros are zero: takes 8n bytes."""
    return onnx(
        [
            h.make_node("ConstantOfShape", ["n"], ["zeros"]),
            h.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        ],
        [value("n", T.INT64, [1])],
        [value("sum", T.FLOAT, [])],
    )


def endless():
    """Adds one, n times."""
    body = h.make_graph(
        [
            h.make_node("Identity", ["go"], ["goes_on"]),
            h.make_node("Add", ["before", "before"], ["after"]),
        ],
        "body",
        [value("i", T.INT64, []), value("go", T.BOOL, []), value("before", T.FLOAT, [])],
        [value("goes_on", T.BOOL, []), value("after", T.FLOAT, [])],
    )
    return onnx(
        [h.make_node("Loop", ["n", "", "x"], ["y"], body=body)],
        [value("n", T.INT64, []), value("x", T.FLOAT, [])],
        [value("y", T.FLOAT, [])],
    )


def outer(size):
    """The largest sum of any a and any b, by a table of size² sums."""
    return onnx(
        [
            h.make_node("Add", ["a", "b"], ["sums"]),
            h.make_node("ReduceMax", ["sums"], ["c"], keepdims=0),
        ],
        [value("a", T.FLOAT, [size, 1]), value("b", T.FLOAT, [1, size])],
        [value("c", T.FLOAT, [])],
    )


def heavy(size, place):
    """One of many weights, which is 1 at `place`."""
    weights = np.zeros(size // 4, np.float32)
    weights[place] = 1
    return onnx(
        [
            h.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weights)),
            h.make_node("Constant", [], ["base"], value_ints=[place]),
            h.make_node("Add", ["base", "at"], ["where"]),
            h.make_node("Gather", ["w", "where"], ["y"]),
        ],
        [value("at", T.INT64, [1])],
        [value("y", T.FLOAT, [1])],
    )


def job(folder: Path, data: bytes, payload: bytes, assurance=Assurance.EXACT, dims=None) -> Job:
    """As a worker makes it for a model that was published honestly."""
    digest = hashlib.sha256(data).digest()
    source = FileName(FileKind.ONNX, digest)
    if assurance is Assurance.VANILLA:
        (folder / str(source)).write_bytes(data)
        signature = Native(data, dims).signature
        return Job(folder / str(source), source, bytes(32), signature, assurance, payload)
    program = lower(data, dims)
    name = FileName(FileKind.PROGRAM, program.root)
    (folder / str(name)).write_bytes(pack(program, digest))
    return Job(folder / str(name), name, program.root, program.signature, assurance, payload)


def advising(asked: Job, data: bytes, output: bytes) -> Job:
    """What asks onnxruntime about an output of that job, whose program is lowered from `data`."""
    name = FileName(FileKind.ONNX, hashlib.sha256(data).digest())
    path = asked.path.with_name(str(name))
    path.write_bytes(data)
    return replace(asked, path=path, file=name, task=Advise(output))


def vanilla(folder, data, *arrays):
    return job(folder, data, b"".join(map(bytes, arrays)), Assurance.VANILLA)


def floats(*values):
    return np.array(values, ">f4").tobytes()


def ints(*values, dtype=">i8"):
    return np.array(values, dtype).tobytes()


def one_plus_two(folder):
    return job(folder, binary("Add"), floats(1, 2))


def is_running(pid):
    """A dead process that nobody has asked about yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=900.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


# The child that goes on


def test_infer_answers_and_tells_errors_as_they_are(tmp_path):
    add = one_plus_two(tmp_path)
    with Executor(processes=1) as executor:
        pids = executor.pids
        assert executor.infer(add) == floats(3)
        with pytest.raises(WrongPayloadLength) as raised:
            executor.infer(replace(add, payload=bytes(7)))
        assert (raised.value.actual, raised.value.needed) == (7, 8)
        with pytest.raises(ModelMismatch, match="has root 0x.* the model's id says 0x0101"):
            executor.infer(replace(add, program_root=b"\1" * 32))
        with pytest.raises(ModelUnavailable, match="nowhere"):
            missing = FileName(FileKind.PROGRAM, b"\2" * 32)
            executor.infer(replace(add, path=tmp_path / "nowhere", file=missing))
        assert executor.pids == pids


@pytest.mark.parametrize("assurance", list(Assurance))
def test_infer_refuses_a_tampered_model_file_of_one_changed_byte(tmp_path, assurance):
    add = job(tmp_path, binary("Add"), floats(1, 2), assurance)
    data = bytearray(add.path.read_bytes())
    data[-1] ^= 1
    add.path.write_bytes(data)
    with (
        Executor(processes=1) as executor,
        pytest.raises(ModelMismatch, match=f"the model's id says (0x)?{add.file.digest.hex()}"),
    ):
        executor.infer(add)


def test_infer_runs_no_program_file_that_lacks_a_constant(tmp_path):
    asked = job(tmp_path, heavy(1 << 10, 7), ints(0))
    whole = asked.path.read_bytes()
    zeroed = whole.replace(np.float32(1).tobytes(), bytes(4))
    assert len(zeroed) == len(whole) and zeroed != whole
    asked.path.write_bytes(zeroed)
    with (
        Executor(processes=1) as executor,
        pytest.raises(ModelRefused, match="the constant of root .* has another root"),
    ):
        executor.infer(asked)


def test_infer_runs_vanilla_models(tmp_path):
    with Executor(processes=1) as executor:
        assert executor.infer(vanilla(tmp_path, zeros(), ints(5))) == floats(0)


def test_infer_freezes_dims_as_they_were_published(tmp_path):
    data = binary("Add", shape=("rows", "width"))
    dims = {"rows": 2, "width": 1}
    adding = job(tmp_path, data, floats(1, 2, 3, 4), Assurance.VANILLA, dims)
    assert dims_of(data, adding.signature) == dims
    with Executor(processes=1) as executor:
        assert executor.infer(adding) == floats(4, 6)


def test_submit_runs_jobs_beside_each_other(tmp_path):
    with Executor(processes=2) as executor:
        futures = [executor.submit(job(tmp_path, binary("Add"), floats(n, 1))) for n in range(20)]
        assert [future.result() for future in futures] == [floats(n + 1) for n in range(20)]


# Children that do not


def test_infer_stops_at_the_time_limit_and_others_go_on(tmp_path):
    with Executor(processes=1, time_limit=0.5) as executor:
        executor.infer(one_plus_two(tmp_path))
        future = executor.submit(vanilla(tmp_path, endless(), ints(2**62), floats(1)))
        with pytest.raises(InferenceFailed, match=r"took more than 0\.5 s, and was stopped"):
            future.result()
        assert executor.infer(one_plus_two(tmp_path)) == floats(3)


# What is done once, and is no inference's time


def to_load(folder: Path) -> Job:
    return vanilla(folder, binary("Add"), floats(1), floats(2))


def piped(adding: Job) -> Job:
    """Its file is a pipe: the child waits for the model until somebody writes it."""
    pipe = adding.path.with_suffix(".pipe")
    os.mkfifo(pipe)
    return replace(adding, path=pipe)


def test_infer_counts_no_time_that_a_model_takes_to_be_loaded(tmp_path):
    adding = to_load(tmp_path)
    slow = piped(adding)
    with Executor(processes=1, time_limit=2) as executor:
        pids = executor.pids
        future = executor.submit(slow)
        with slow.path.open("wb") as pipe:  # opens when the child does
            time.sleep(3)
            pipe.write(adding.path.read_bytes())
        assert future.result() == floats(3)
        assert executor.pids == pids


def test_infer_stops_a_model_that_is_never_loaded_and_others_go_on(tmp_path):
    adding = to_load(tmp_path)
    with Executor(processes=1, prepare_limit=3) as executor:
        with pytest.raises(InferenceFailed, match="Loading the model took more than 3 s"):
            executor.infer(piped(adding))
        assert executor.infer(adding) == floats(3)


def test_infer_has_patience_with_a_model_that_takes_long_to_be_loaded(tmp_path):
    """A publisher may make one so that it takes longer than everybody's limit."""
    adding = to_load(tmp_path)
    slow = replace(piped(adding), task=Infer(patience=900))
    with Executor(processes=1, prepare_limit=0.1) as executor:
        future = executor.submit(slow)
        with slow.path.open("wb") as pipe:
            time.sleep(1)
            pipe.write(adding.path.read_bytes())
        assert future.result() == floats(3)


def test_infer_gives_no_job_more_than_its_most(tmp_path):
    """Others wait for its place, so there is no more, whatever the limits say."""
    never_loaded = replace(piped(to_load(tmp_path)), task=Price(most=0.5))
    never_run = vanilla(tmp_path, endless(), ints(2**62), floats(1))
    with Executor(processes=1, time_limit=900) as executor:
        with pytest.raises(InferenceTooSlow, match=r"Loading .* took more than 0\.5 s"):
            executor.infer(never_loaded)
        with pytest.raises(InferenceTooSlow, match="The inference took more than 5 s"):
            executor.infer(replace(never_run, task=Infer(patience=900, most=5)))


def test_infer_counts_no_time_that_kernels_take_to_be_compiled(tmp_path, monkeypatch):
    """In a child that finds none compiled, as the first one on a machine."""
    kernels = tmp_path / "kernels"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(kernels))
    nodes = [h.make_node("Softmax", ["x"], ["y"])]
    shaped = [1, 256]
    data = onnx(nodes, [value("x", T.FLOAT, shaped)], [value("y", T.FLOAT, shaped)])
    asking = job(tmp_path, data, bytes(4 * 256))
    with Executor(processes=1, time_limit=1) as executor:
        assert executor.infer(asking) == floats(1 / 256) * 256
    assert list(kernels.rglob("functions.exp-*.nbi"))


def test_infer_stops_a_child_that_only_ever_says_what_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "CHILD", "tests.unit.inference.flooding_child")
    with (
        Executor(processes=1, time_limit=0.5) as executor,
        pytest.raises(InferenceFailed, match=r"The inference took more than 0\.5 s"),
    ):
        executor.infer(one_plus_two(tmp_path))


def test_infer_waits_for_no_end_of_an_answer_that_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "CHILD", "tests.unit.inference.halting_child")
    monkeypatch.setattr(executors, "END_LIMIT", 0.5)
    with (
        Executor(processes=1) as executor,
        pytest.raises(InferenceFailed, match="was killed by SIGKILL"),
    ):
        executor.infer(one_plus_two(tmp_path))


def test_infer_reads_no_answer_of_no_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "CHILD", "tests.unit.inference.mute_child")
    with (
        Executor(processes=1) as executor,
        pytest.raises(InferenceFailed, match="an answer that cannot be read"),
    ):
        executor.infer(one_plus_two(tmp_path))


@pytest.mark.parametrize("assurance", list(Assurance))
def test_infer_stops_at_the_memory_limit_and_others_go_on(tmp_path, assurance):
    if assurance is Assurance.VANILLA:
        greedy = vanilla(tmp_path, zeros(), ints(2**28))
    else:
        greedy = job(tmp_path, outer(8_000), bytes(8 * 8_000))
    with Executor(processes=1, memory_limit=300 << 20) as executor:
        with pytest.raises(InferenceFailed, match="needed more memory than its 300 MiB"):
            executor.infer(greedy)
        assert executor.infer(one_plus_two(tmp_path)) == floats(3)


def test_infer_fits_a_real_model_into_a_realistic_memory_limit(tmp_path):
    with Executor(processes=1, memory_limit=512 << 20) as executor:
        assert executor.infer(vanilla(tmp_path, zeros(), ints(2**24))) == floats(0)  # 64 MiB


@pytest.mark.parametrize("assurance", list(Assurance))
def test_infer_survives_what_kills_onnxruntime(tmp_path, assurance):
    data = binary("Div", T.INT32)
    asked = deadly = job(tmp_path, data, ints(MIN_INT, -1, dtype=">i4"), assurance)
    if assurance is Assurance.EXACT:
        deadly = advising(asked, data, ints(MIN_INT, dtype=">i4"))
    with Executor(processes=1) as executor:
        (pid,) = executor.pids
        with pytest.raises(InferenceFailed, match="was killed by SIGFPE"):
            executor.infer(deadly)
        harmless = replace(asked, payload=ints(6, 3, dtype=">i4"), task=Infer())
        assert executor.infer(harmless) == ints(2, dtype=">i4")
        assert executor.pids != (pid,)


def test_infer_replaces_a_child_that_was_killed(tmp_path):
    with Executor(processes=1) as executor:
        (pid,) = executor.pids
        executor.infer(one_plus_two(tmp_path))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))
        assert executor.infer(one_plus_two(tmp_path)) == floats(3)


def test_infer_replaces_a_child_that_a_signal_without_a_name_ended(tmp_path):
    with Executor(processes=1) as executor:
        executor.infer(one_plus_two(tmp_path))
        (pid,) = executor.pids
        os.kill(pid, signal.SIGRTMIN + 1)
        wait_until(lambda: not is_running(pid))
        assert executor.infer(one_plus_two(tmp_path)) == floats(3)
        assert executor.pids != (pid,)


def test_infer_tries_again_where_other_models_had_filled_the_memory(tmp_path):
    files = [heavy(32 << 20, place) for place in range(6)]
    with Executor(processes=1, memory_limit=300 << 20) as executor:
        pids = executor.pids
        for data in files:
            assert executor.infer(vanilla(tmp_path, data, ints(0))) == floats(1)
        assert executor.pids != pids


def test_close_fails_what_still_runs(tmp_path):
    executor = Executor(processes=1)
    future = executor.submit(vanilla(tmp_path, endless(), ints(2**62), floats(1)))
    (pid,) = executor.pids
    wait_until(future.running)
    executor.close()
    with pytest.raises(InferenceFailed, match="closed before the inference was done"):
        future.result()
    assert not is_running(pid)
    with pytest.raises(InferenceFailed, match="closed"):
        executor.infer(one_plus_two(tmp_path))


PARENT = """
import json, pickle, sys, time
from oracle.inference.executor import Executor
executor = Executor(processes=2)
future = executor.submit(pickle.load(sys.stdin.buffer))
executor.infer(pickle.load(sys.stdin.buffer))
print(json.dumps(executor.pids), flush=True)
future.result()
"""


def test_children_end_with_a_parent_that_was_killed(tmp_path):
    busy = vanilla(tmp_path, endless(), ints(2**62), floats(1))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        parent.stdin.write(pickle.dumps(busy) + pickle.dumps(one_plus_two(tmp_path)))
        parent.stdin.flush()
        pids = json.loads(parent.stdout.readline())
        assert all(map(is_running, pids))
        parent.kill()
    wait_until(lambda: not any(map(is_running, pids)))


def test_a_child_sees_no_password(monkeypatch):
    monkeypatch.setenv("EXACTUM_PASSWORD", "hunter2")
    with Executor(processes=1) as executor:
        (pid,) = executor.pids
        file = Path(f"/proc/{pid}/environ")
        wait_until(lambda: file.read_bytes())  # empty for a moment when a program starts
        environment = file.read_bytes()
    assert b"OMP_NUM_THREADS=1" in environment
    assert b"hunter2" not in environment


# In process, as an audit does it


# What a dispute asks for


def deep(size, depth):
    """Adds to itself, again and again: a run holds two values, and a trace commits to all."""
    names = [f"v{at}" for at in range(depth + 1)]
    nodes = [h.make_node("Add", [a, a], [b]) for a, b in pairwise(names)]
    inputs = [value("v0", T.FLOAT, [size])]
    last = h.make_node("ReduceMax", [names[-1]], ["y"], keepdims=0)
    return onnx([*nodes, last], inputs, [value("y", T.FLOAT, [])])


def test_open_takes_no_more_memory_than_the_run(tmp_path):
    """Else whoever asks an honest operator for its trace could have it slashed."""
    size, depth = 1 << 20, 160  # 640 MiB of values
    answer = job(tmp_path, deep(size, depth), bytes(4 * size))
    parts = [Part(VALUE_TREE, 0, 0, 4), Part(depth - 1, LEAVES, 0, 2)]
    with Executor(processes=1, memory_limit=600 << 20) as executor:
        assert executor.infer(answer) == floats(0)
        for part in parts:
            found = executor.infer(replace(answer, task=Open((part,))))
            assert len(found) > part.size


def wide(kind, many):
    """A sum of so many tensors of 16 MiB that are all alive at once; its constants are small."""
    dtype, size = (np.int64, 21) if kind == T.INT64 else (np.float32, 22)
    sides = [(1 << size - 14, 1, 1), (1, 1 << 7, 1), (1, 1, 1 << 7)]
    named = {f"side{at}": np.ones(shape, dtype) for at, shape in enumerate(sides)}
    named |= {f"k{at}": np.full((1, 1, 1), at + 1, dtype) for at in range(many)}
    nodes, total = [], "v0"
    for at in range(many):
        names = ["x", *(f"{letter}{at}" for letter in "abcv")]
        operands = [f"k{at}", "side0", "side1", "side2"]
        ops = ["Add", "Mul", "Mul", "Mul"]
        steps = zip(ops, names, operands, names[1:], strict=False)
        nodes += [h.make_node(op, [x, y], [z]) for op, x, y, z in steps]
    for at in range(1, many):
        nodes.append(h.make_node("Sub", [total, f"v{at}"], [f"s{at}"]))
        total = f"s{at}"
    nodes.append(h.make_node("Gather", [total, "first"], ["y"], axis=0))
    named |= {"first": np.array([0])}
    made = [
        h.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
        for name, array in named.items()
    ]
    return onnx(
        [*made, *nodes], [value("x", kind, [1, 1, 1])], [value("y", kind, [1, 1 << 7, 1 << 7])]
    )


def most_memory(executor):
    """Bytes that its child has ever held."""
    status = Path(f"/proc/{executor.pids[0]}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it")
@pytest.mark.parametrize("kind", [T.INT64, T.FLOAT])
def test_what_a_dispute_asks_for_takes_64_mebibytes_more_than_the_run(tmp_path, kind):
    """Else whoever publishes such a model could have those slashed who answer for it, or be safe
    from those who look into it."""
    dtype = ">i8" if kind == T.INT64 else ">f4"
    answer = job(tmp_path, wide(kind, 8), np.ones(1, dtype).tobytes())
    with Executor(processes=1) as executor:
        output = executor.infer(answer)
    wrong = bytes([output[0] ^ 1]) + output[1:]
    places = [*range(0, 39, 6)]
    of_a_worker = [
        Open((Part(VALUE_TREE, 0, 0, 30),)),
        Open(tuple(Part(at, LEAVES, 0, 1) for at in places)),
        tasks.Testify(wrong),
    ]
    of_a_challenger = [tasks.Pursue(wrong), tasks.Pursue(output), tasks.Pursue(wrong)]
    for asked in (of_a_worker, of_a_challenger):
        with Executor(processes=1) as executor:
            executor.infer(answer)
            run = most_memory(executor)
            for task in asked:
                assert executor.infer(replace(answer, task=task))
                assert most_memory(executor) <= run + (64 << 20), task


def test_open_has_all_the_time_that_a_demand_leaves(tmp_path):
    answer = job(tmp_path, deep(1 << 16, 200), bytes(4 << 16))
    asked = Open((Part(VALUE_TREE, 0, 0, 1),))
    with Executor(processes=1, time_limit=0.05) as executor:
        with pytest.raises(InferenceFailed, match="took more than"):
            executor.infer(replace(answer, task=asked))
        assert executor.infer(replace(answer, task=replace(asked, patience=900)))


def test_infer_gives_a_job_a_day_at_most(tmp_path):
    """What it is given more is no time that one can wait for."""
    with Executor(processes=1) as executor:
        answer = one_plus_two(tmp_path)
        opened = Open((Part(VALUE_TREE, 0, 0, 1),), patience=1e12)
        assert executor.infer(replace(answer, task=opened))


def test_a_child_is_given_back_to_nobody_before_it_has_answered(tmp_path, monkeypatch):
    """Or the next job would have its answer."""
    answer = one_plus_two(tmp_path)
    with Executor(processes=1) as executor:
        first = executor.infer(answer)
        pids = executor.pids
        with monkeypatch.context() as patched, pytest.raises(OverflowError):
            patched.setattr(executors._Child, "_answer", fail)
            executor.infer(replace(answer, task=Price()))
        assert executor.infer(answer) == first and executor.pids != pids


def fail(*_):
    raise OverflowError("timeout is too large")


def test_price_counts_what_it_took_to_load_the_model(tmp_path):
    with Executor(processes=1) as executor:
        priced = executor.infer(replace(one_plus_two(tmp_path), task=Price()))
    assert serialization.load(priced, TraceWork).loading > 0


class Watched(threading.Condition):
    """A condition that tells of each thread that begins to wait for it."""

    def __init__(self):
        super().__init__()
        self.begun = threading.Semaphore(0)

    def wait(self, timeout=None):
        self.begun.release()
        return super().wait(timeout)


def test_run_takes_what_is_urgent_first(tmp_path):
    """Threads that have one job after another each would never let it in."""
    asked = Open((Part(VALUE_TREE, 0, 0, 1),))
    done: list[str] = []
    with Executor(processes=1) as executor:
        adding = one_plus_two(tmp_path)
        executor.infer(adding)
        child = executor._take(adding)
        waits = executor._changed = Watched()

        def run(name: str, job: Job) -> None:
            executor.infer(job)
            done.append(name)

        jobs = [(f"answer {at}", adding) for at in range(3)]
        jobs.append(("demand", replace(adding, task=asked)))
        threads = [threading.Thread(target=run, args=each) for each in jobs]
        for thread in threads:
            thread.start()
        assert all(waits.begun.acquire(timeout=60) for _ in threads)
        executor._give_back(child)
        for thread in threads:
            thread.join()
    assert done[0] == "demand" and len(done) == len(threads)


def test_load_gives_the_law_without_a_second_opinion(tmp_path):
    deadly = job(tmp_path, binary("Div", T.INT32), ints(MIN_INT, -1, dtype=">i4"))
    engine = load_engine(deadly.path, deadly)
    assert engine.infer(deadly.payload) == ints(MIN_INT, dtype=">i4")


def test_load_refuses_another_signature(tmp_path):
    add = one_plus_two(tmp_path)
    other = job(tmp_path, binary("Add", shape=(2,)), b"")
    with pytest.raises(ModelMismatch, match=r"takes a: float\[1\].* id says a: float\[2\]"):
        load_engine(add.path, replace(add, signature=other.signature))


@pytest.mark.parametrize("assurance", list(Assurance))
def test_load_compares_no_names(tmp_path, assurance):
    """They are in the id's preimage and nowhere else: one wrong name would silence everybody."""
    dims = {"rows": 2, "width": 1}
    data = binary("Add", shape=("rows", "width"))
    add = job(tmp_path, data, floats(1, 2, 3, 4), assurance, dims)
    tensors = (add.signature.inputs, add.signature.outputs)
    renamed = Signature(*(tuple(replace(t, name=f"no {t.name}") for t in each) for each in tensors))
    assert load_engine(add.path, replace(add, signature=renamed)).infer(add.payload) == floats(4, 6)


def test_run_goes_to_another_process_where_it_is_told_to(tmp_path):
    add = one_plus_two(tmp_path)
    for processes in (1, 2):
        with Executor(processes=processes) as executor:
            first = executor.run(add)
            second = executor.run(add, apart_from=first.pid)
            assert first.data == second.data == floats(3)
            assert first.pid != second.pid and len(set(executor.pids)) == processes


def test_a_child_that_runs_the_law_has_no_onnxruntime(tmp_path):
    add = one_plus_two(tmp_path)
    with Executor(processes=1) as executor:
        executor.infer(replace(add, task=Pursue(floats(4))))
        assert not has_onnxruntime(executor.pids)
        executor.infer(advising(add, binary("Add"), floats(3)))
        assert has_onnxruntime(executor.pids)


def has_onnxruntime(pids):
    (pid,) = pids
    return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()


def test_load_needs_a_payload_that_fits(tmp_path):
    add = one_plus_two(tmp_path)
    with pytest.raises(PayloadError):
        load_engine(add.path, add).infer(b"")
