"""Files of float64, float16 and bfloat16: random graphs against the same graph in float32, root by
root, and against onnxruntime in the file's own dtype; what jumps, and what is refused."""

from collections.abc import Iterator
from math import inf, nan

import numpy as np
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper

from oracle.errors import InferenceFailed, ModelRefused, SecondOpinionDiffers
from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from oracle.inference.onnxruntime import FLOAT16_NOISE, FLOAT32_NOISE, SecondOpinion
from oracle.tensor import Array
from oracle.types import DType
from tests.unit.exact.files import node, proto, tensor

HALF, BRAIN, SINGLE, DOUBLE = (
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
)
BITS: dict[int, int] = {HALF: 11, BRAIN: 8, SINGLE: 24, DOUBLE: 53}


def held(array: Array, code: int) -> Array:
    """What a tensor of that dtype holds of float64, as float64."""
    exponents = np.frexp(array)[1]
    places = np.ldexp(1.0, exponents - BITS[code])
    return np.round(array / places) * places


class Graph:
    """A file in one float dtype, node after node. A twin in float32 draws the same."""

    def __init__(self, code: int, seed: int, twin: bool = False):
        self.rng = np.random.default_rng(seed)
        self.code, self.said = code, SINGLE if twin else code
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, *shape: int, scale: float = 1.0) -> str:
        values = held(self.rng.standard_normal(shape) * scale, self.code)
        return self.given(values.ravel(), shape)

    def given(self, values, shape=()) -> str:
        name = f"c{len(self.constants)}"
        flat = np.ravel(values).tolist()
        self.constants.append(helper.make_tensor(name, self.said, shape, flat))
        return name

    def whole(self, *values: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def add(self, op: str, *inputs: str, **attributes) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def step(self, x: str) -> str:
        """One more layer over [4, 8]."""
        match self.rng.integers(14):
            case 0:
                return self.add("MatMul", x, self.constant(8, 8, scale=0.35))
            case 1:
                return self.add("Gemm", x, self.constant(8, 8, scale=0.35), self.constant(8))
            case 2:
                return self.add("Add", x, self.constant(8))
            case 3:
                return self.add("Mul", x, self.constant(1, 8))
            case 4:
                return self.add(str(self.rng.choice(["Relu", "Tanh", "Sigmoid", "Abs", "Erf"])), x)
            case 5:
                return self.add("Softmax", x, axis=1)
            case 6:
                scales = self.constant(8), self.constant(8)
                return self.add("LayerNormalization", x, *scales)
            case 7:
                return self.add("Sub", x, self.add("ReduceMax", x, axes=[1]))
            case 8:
                half = self.add("Slice", x, self.whole(0), self.whole(4), self.whole(1))
                return self.add("Concat", half, half, axis=1)
            case 9:
                turned = self.add("Transpose", x, perm=[1, 0])
                return self.add("Reshape", self.add("Neg", turned), self.whole(4, 8))
            case 10:
                return self.add("Clip", x, self.given(-1.5), self.given(1.25))
            case 11:
                single = self.add("Cast", x, to=SINGLE)
                return self.add("Cast", self.add("Sin", single), to=self.said)
            case 12:
                taken = self.add("Gather", x, self.whole(7, 2, 2, 0, 1, 3, 5, 6), axis=1)
                return self.add("Div", taken, self.add("Exp", self.constant(8, scale=0.3)))
            case _:
                image = self.add("Reshape", x, self.whole(1, 1, 4, 8))
                kernel = self.constant(1, 1, 3, 3, scale=0.4)
                convolved = self.add("Conv", image, kernel, pads=[1, 1, 1, 1])
                return self.add("Reshape", convolved, self.whole(4, 8))

    def file(self, steps: int, out: int | None = None) -> bytes:
        x = "x"
        for _ in range(steps):
            x = self.step(x)
        output = tensor(x, [4, 8], self.said if out is None else out)
        made = proto(self.nodes, [tensor("x", [4, 8], self.said)], [output], opset=17)
        made.graph.initializer.extend(self.constants)
        return made.SerializeToString()


def inputs(seed: int) -> Array:
    return np.random.default_rng(seed + 1000).standard_normal((4, 8), np.float32)


@pytest.mark.parametrize("code", [HALF, BRAIN, DOUBLE])
@pytest.mark.parametrize("seed", range(40))
def test_a_graph_is_that_of_float32_and_near_onnxruntime_in_its_own_dtype(code, seed):
    data, x = Graph(code, seed).file(8), inputs(seed)
    program = lower(data)
    assert {t.dtype for t in (*program.signature.inputs, *program.signature.outputs)} == {
        DType.FLOAT
    }
    twin = Graph(code, seed, twin=True).file(8)
    assert program.root == lower(twin).root
    outputs = run(program, [x])
    SecondOpinion(data, program.signature).check([x], outputs)


def test_noise_is_that_of_the_narrowest_float_of_a_file():
    """float16 strays further than float32 may, and no further than is allowed."""
    worst = 0.0
    for seed in range(60, 80):
        data, x = Graph(HALF, seed).file(12), inputs(seed)
        (ours,) = run(lower(data), [x])
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (theirs,) = session.run(None, {"x": x.astype(np.float16)})
        worst = max(worst, float(np.abs(theirs - ours).max() / (np.abs(ours).max() + 2**-9)))
    assert FLOAT32_NOISE.relative < worst < FLOAT16_NOISE.relative / 2


def single(op: str, code: int = DOUBLE, *, constants=(), before=(), opset=19, out=None, **given):
    """A file of one op over x [4], with constants behind or before it."""
    graph = Graph(code, 0)
    names = [graph.given(values, (len(values),)) for values in (*before, *constants)]
    place = len(before)
    y = graph.add(op, *names[:place], "x", *names[place:], **given)
    output = tensor(y, None, out) if out else y
    made = proto(graph.nodes, [tensor("x", [4], code)], [output], opset=opset)
    made.graph.initializer.extend(graph.constants)
    return made.SerializeToString()


def why(data: bytes) -> str:
    with pytest.raises(ModelRefused) as refused:
        lower(data)
    return str(refused.value)


EDGES = [0.0, 2.0**-149, 1.0, float(np.float32(0.1)), float(np.float32(3.4e38)), inf]


def thresholds() -> Iterator[float]:
    for edge in EDGES:
        for sign in (1, -1):
            yield sign * edge
            yield sign * float(np.nextafter(edge, inf))
            yield sign * float(np.nextafter(edge, -inf))
    yield from (nan, 1e300, -1e300, 1e-300)


@pytest.mark.parametrize("op", ["Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"])
@pytest.mark.parametrize("first", [True, False])
def test_a_comparison_of_an_input_with_float64_is_what_float64_says(op, first):
    compare = {
        "Less": np.less,
        "Greater": np.greater,
        "LessOrEqual": np.less_equal,
        "GreaterOrEqual": np.greater_equal,
        "Equal": np.equal,
    }[op]
    near = [np.nextafter(np.float32(e), np.float32(to)) for e in EDGES for to in (-inf, e, inf)]
    numbers = [*near, *(-n for n in near), np.float32(nan)]
    for start in range(0, len(numbers), 4):
        x = np.resize(np.array(numbers[start:], np.float32), 4)
        for threshold in thresholds():
            t = np.array([threshold])
            data = single(op, **{"before" if first else "constants": [t]})
            wide = x.astype(np.float64)
            wanted = compare(t, wide) if first else compare(wide, t)
            assert run(lower(data), [x])[0].tolist() == wanted.tolist(), (op, threshold, x)


def chain(*steps: tuple, code: int = DOUBLE, shape=(4,)) -> bytes:
    """Ops one behind the other over x; of each its name, constants of that dtype, attributes."""
    graph, x = Graph(code, 0), "x"
    for op, constants, attributes in steps:
        names = [
            graph.whole(*c) if isinstance(c, tuple) else graph.given(c, np.shape(c))
            for c in constants
        ]
        x = graph.add(op, x, *names, **attributes)
    made = proto(graph.nodes, [tensor("x", shape, code)], [x], opset=19)
    made.graph.initializer.extend(graph.constants)
    return made.SerializeToString()


TENTH: tuple[str, list[object], dict[str, object]] = ("Mul", [[0.1]], {})


@pytest.mark.parametrize(
    "step",
    [
        ("Floor", [], {}),
        ("Less", [[0.5]], {}),
        ("Sign", [], {}),
        ("Cast", [], {"to": TensorProto.INT64}),
        ("Cast", [], {"to": TensorProto.BOOL}),
        ("Equal", [[0.5]], {}),
    ],
)
def test_what_jumps_is_refused_where_float64_was_rounded_and_only_there(step):
    assert "float64 that was computed" in why(chain(TENTH, step))
    assert "float64 that was computed" in why(chain(("Max", [[0.1]], {}), step))
    lower(chain(step))
    lower(chain(("Max", [[0.25]], {}), ("Neg", [], {}), ("Slice", [(0,), (2,)], {}), step))
    lower(chain(TENTH, ("Cast", [], {"to": SINGLE}), *([] if step[1] else [step])))
    lower(chain(TENTH, step, code=HALF))


@pytest.mark.parametrize("op", ["ArgMax", "Softmax", "Hardmax", "ReduceMax", "Exp", "IsNaN"])
def test_choices_among_scores_and_what_moves_smoothly_are_no_jumps(op):
    lower(chain(TENTH, (op, [], {"axis": 0} if op in ("ArgMax", "Softmax", "Hardmax") else {})))


@pytest.mark.parametrize(
    ("number", "op", "reason"),
    [
        (1e300, "Add", "1e+300 is beyond float32"),
        (-3.5e38, "MatMul", "-3.5e+38 is beyond float32"),
        (1e-300, "Add", "1e-300 is 0 as float32"),
        (16777217.0, "Mul", "16777217.0 is a whole number that float32 lacks"),
        (1e300, "Max", "1e+300 is beyond float32"),
    ],
)
def test_float64_constants_that_float32_does_not_hold_are_refused(number, op, reason):
    assert f"the float64 {reason}" in why(single(op, constants=[[number] * 4]))


def test_float64_constants_that_float32_rounds_are_rounded():
    for number in (1e300, -1e300):
        assert lower(single("Less", constants=[[number]]))
    assert lower(single("MatMul", constants=[[1e-300, 1.0, 0.1, 2.0**60]]))
    (y,) = run(lower(single("Add", constants=[[0.1]])), [np.zeros(4, np.float32)])
    assert y.tolist() == [np.float32(0.1)] * 4


def test_float64_of_constants_alone_is_computed_in_float64():
    """(2^30 + 1)·0.5 − 2^29 is a half; the first is no float32."""
    graph = Graph(DOUBLE, 0)
    half = graph.add("Mul", graph.given(2.0**30 + 1), graph.given(0.5))
    rest = graph.add("Sub", half, graph.given(2.0**29))
    y = graph.add("Add", "x", graph.add("Ceil", rest))
    z = graph.add("Cast", half, to=TensorProto.INT64)
    made = proto(graph.nodes, [tensor("x", [1], DOUBLE)], [y, z], opset=19)
    made.graph.initializer.extend(graph.constants)
    y, z = run(lower(made.SerializeToString()), [np.float32([0.25])])
    assert (y.tolist(), z.tolist()) == ([1.25], 2**29)


def test_a_float64_constant_is_cast_as_the_law_casts_float32():
    def cast(to: int) -> bytes:
        graph = Graph(DOUBLE, 0)
        numbers = graph.given([nan, 300.7, -300.7, 1e300, -2.5, 0.5], (6,))
        y = graph.add("Cast", numbers, to=to)
        made = proto(graph.nodes, [tensor("x", [1])], [y], opset=25)
        made.graph.initializer.extend(graph.constants)
        return made.SerializeToString()

    def given(to: int) -> list:
        return run(lower(cast(to)), [np.zeros(1, np.float32)])[0].tolist()

    assert given(TensorProto.INT64) == [0, 300, -300, 2**63 - 1, -2, 0]
    assert given(TensorProto.UINT8) == [0, 255, 0, 255, 0, 0]
    assert given(TensorProto.BOOL) == [True] * 6
    assert "a Cast to int4 is not covered" in why(cast(TensorProto.INT4))


def test_a_range_of_float64_has_the_length_that_float64_says():
    graph = Graph(DOUBLE, 0)
    steps = graph.add("Range", graph.given(0.0), graph.given(0.3), graph.given(0.1))
    made = proto(graph.nodes, [tensor("x", [1])], [steps], opset=19)
    made.graph.initializer.extend(graph.constants)
    (y,) = run(lower(made.SerializeToString()), [np.zeros(1, np.float32)])
    assert y.tolist() == np.arange(0, 0.3, 0.1).astype(np.float32).tolist()


def test_integers_come_back_from_float64_as_they_were():
    """As skl2onnx casts labels, of which float32 would not hold every one."""
    nodes = [
        node("ArgMax", ["x"], ["place"], axis=0, keepdims=0),
        node("Gather", ["labels", "place"], ["label"]),
        helper.make_node("Cast", ["label"], ["wide"], to=DOUBLE),
        helper.make_node("Reshape", ["wide", "one"], ["row"]),
        helper.make_node("Cast", ["row"], ["y"], to=TensorProto.INT64),
    ]
    labels = np.array([20240101, 2**24 + 1, 7, 8], np.int32)
    constants = {"labels": labels, "one": np.array([1])}
    made = proto(nodes, [tensor("x", [4], DOUBLE)], ["y"], opset=12, **constants)
    program = lower(made.SerializeToString())
    assert run(program, [np.float32([1, 3, 2, 0])])[0].tolist() == [2**24 + 1]


def test_inputs_of_two_floats_are_refused():
    made = proto([node("Add", ["x", "c"], ["y"])], [tensor("x", [1], HALF)], ["y"])
    made.graph.initializer.append(helper.make_tensor("c", DOUBLE, [1], [1.0]))
    assert "different dtypes: double, float16" in why(made.SerializeToString())


def test_a_scan_carries_float16():
    graph = Graph(HALF, 0)
    start = graph.given([0.0], (1,))
    body = helper.make_graph(
        [node("Add", ["s", "row"], ["next"]), node("Identity", ["next"], ["out"])],
        "body",
        [tensor("s", [1], HALF), tensor("row", [1], HALF)],
        [tensor("next", [1], HALF), tensor("out", [1], HALF)],
    )
    scan = node("Scan", [start, "x"], ["last", "all"], body=body, num_scan_inputs=1)
    outputs = [tensor("last", [1], HALF), tensor("all", [3, 1], HALF)]
    made = proto([scan], [tensor("x", [3, 1], HALF)], outputs, opset=19)
    made.graph.initializer.extend(graph.constants)
    last, all_ = run(lower(made.SerializeToString()), [np.float32([[1], [2], [3]])])
    assert (last.tolist(), all_.ravel().tolist()) == ([6.0], [1.0, 3.0, 6.0])


# What onnxruntime says of float16


def test_a_second_opinion_in_float16_is_none_where_float16_ends():
    x = np.array([300, 1, 2, 3], np.float32)
    data = single("Mul", HALF, constants=[[400.0]], out=HALF)
    program = lower(data)
    outputs = run(program, [x])
    assert outputs[0][0] == 120_000
    with pytest.raises(InferenceFailed, match="float16, which does not decide"):
        SecondOpinion(data, program.signature).check([x], outputs)


def test_a_second_opinion_in_float16_is_none_where_it_tips_a_choice_alone():
    x = np.float32([1, 1.0001, 0, 0])
    data = single("ArgMax", HALF, axis=0)
    program = lower(data)
    with pytest.raises(InferenceFailed, match="does not decide"):
        SecondOpinion(data, program.signature).check([x], run(program, [x]))


@pytest.mark.parametrize("code", [HALF, BRAIN, DOUBLE])
def test_a_second_opinion_catches_a_wrong_result_in_each_float(code):
    x = np.float32([1, 2, 3, 4])
    data, wrong = (single(op, code, out=code, constants=[[2.0]]) for op in ("Mul", "Add"))
    program = lower(data)
    SecondOpinion(data, program.signature).check([x], run(program, [x]))
    with pytest.raises(SecondOpinionDiffers, match="differs in 3 of 4 elements"):
        SecondOpinion(wrong, program.signature).check([x], run(program, [x]))
