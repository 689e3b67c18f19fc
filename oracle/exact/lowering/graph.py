"""From an ONNX file to a program: checks the file, freezes its dims, lowers node by node.

The file may be hostile: no memory is allocated for a size that it claims before that is checked.
All reasons to refuse it are reported together.
"""

from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
)

from oracle.errors import ModelRefused, Reason
from oracle.exact.limits import Limits, OverLimit
from oracle.exact.lowering import floats, schemas, sequences
from oracle.exact.lowering.builder import FLOATS, WIDENED, Builder, with_dtype
from oracle.exact.lowering.choice import chosen, flag
from oracle.exact.lowering.external import is_outside, with_data
from oracle.exact.lowering.families import MICROSOFT, ONNX, ONNX_ML
from oracle.exact.lowering.guessed import Guess, guesses
from oracle.exact.lowering.order import ordered
from oracle.exact.lowering.panels import panelled
from oracle.exact.lowering.refused import refuse
from oracle.exact.lowering.scan import Body, loop, scan
from oracle.exact.lowering.source import Source, dtype_name, tensor_constant
from oracle.exact.primitive import DTYPES, Outside
from oracle.exact.program import Operand, OperandKind, Program, ValueType
from oracle.types import DType, TensorType

OPSETS = range(7, 29)
ML_OPSETS = range(1, 6)

TABLES = {"": ONNX, "ai.onnx": ONNX, "ai.onnx.ml": ONNX_ML, "com.microsoft": MICROSOFT}

# Strings are read as places in a list. These ops may take them: those that move them, and those
# that look them up.
_TEXT_MOVES = (
    "ArrayFeatureExtractor",
    "Gather",
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
)
_TEXT_OPS = (*_TEXT_MOVES, "LabelEncoder", "OneHotEncoder")

_SCAN_LESS = (
    "scan less; a kNN of skl2onnx needs no Scan with options={id(model): {'optim': 'cdist'}}"
)

_NUMBERS = "use floats, int8, uint8, int32, int64 or bool"
_IN_PLACE_OF = {"string": "train on codes of the strings, or encode them outside of the model"}

_INPUTS = (*DTYPES, *FLOATS, DType.INT16, DType.UINT16, DType.UINT32)
"""The dtypes that a file may give its inputs."""

_CALLS = 16
"""The depth to which functions may call each other."""


def lower(
    model: bytes,
    dims: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    folder: Path | None = None,
) -> Program:
    """Lowers an ONNX file to its program, which is the same for everybody. Raises ModelRefused.

    `dims` gives symbolic dims by name; a dim without a name is called INPUT.AXIS. Where it says
    nothing, the first dim of an input (the batch) is 1, and any other is a reason to refuse. Where
    the file keeps tensors in other files, these are in `folder`.
    """
    limits = limits or Limits()
    program = _Lowering(_parsed(model, limits), dict(dims or {}), limits, folder).program()
    return panelled(program, limits)


def _parsed(model: bytes, limits: Limits) -> ModelProto:
    if len(model) > limits.file_bytes:
        why = f"the file has {len(model)} bytes; the limit is {limits.file_bytes}"
        raise ModelRefused([_of_file(why, "use a smaller model")])
    proto = ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        raise ModelRefused([_of_file("it is not an ONNX file", "give a .onnx file")]) from None
    if not proto.HasField("graph"):
        raise ModelRefused([_of_file("it is not an ONNX file", "give a .onnx file")])
    # protobuf gives a name that is not UTF-8 as bytes.
    if not all(isinstance(name, str) for name in _names(proto)):
        raise ModelRefused([_of_file("a name in it is not UTF-8", "fix the file")])
    return proto


def _names(model: ModelProto) -> Iterator[object]:
    """Yields every string of the file that is read, except those in attributes and in tensors."""
    yield from (entry.domain for entry in model.opset_import)
    yield from _names_in(model.graph)
    for function in model.functions:
        yield from (function.domain, function.name, function.overload)
        yield from (*function.input, *function.output, *function.attribute)
        yield from (entry.domain for entry in function.opset_import)
        yield from (attribute.name for attribute in function.attribute_proto)
        yield from _names_of(function.node)


def _names_in(graph: GraphProto) -> Iterator[object]:
    yield from (tensor.name for tensor in graph.initializer)
    for info in (*graph.input, *graph.output):
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)
    yield from _names_of(graph.node)


def _names_of(nodes: Iterable[NodeProto]) -> Iterator[object]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name)
            if attribute.HasField("g"):
                yield from _names_in(attribute.g)


def _of_file(why: str, advice: str) -> Reason:
    return Reason("", "", why, advice)


class _Lowering:
    """Lowers one file. It collects reasons to refuse the file, and any of them refuses it."""

    def __init__(
        self,
        model: ModelProto,
        dims: Mapping[str, int],
        limits: Limits,
        folder: Path | None = None,
    ):
        self.model = model
        self.graph = model.graph
        self.dims = dims
        self.limits = limits
        self.folder = folder
        self.reasons: dict[Reason, None] = {}  # in order, each once
        self.opset, self.ml_opset = self._opsets(model)
        self.knows_ops = not self.reasons
        self.functions = {_signature(function): function for function in model.functions}
        for domain, name, _ in self.functions:
            if domain in TABLES:
                self._refuse(f"it has a function named like the op {name}", "rename its domain")
        self.calls = 0  # of functions in functions
        self.tensors = ChainMap(self._initializers(self.graph))
        self.values: ChainMap[str, Operand | None] = ChainMap({})
        """The operands by name. None is one that could not be lowered, which is no further reason
        to refuse its readers. A branch has a map of its own, as it has for its tensors."""
        self.values.update((each.values.name, None) for each in self.graph.sparse_initializer)
        self.lists: dict[str, sequences.Tensors] = {}
        """The lists of tensors by name. As values they are None."""
        self.lowered = 0
        self.stand_ins = 0
        self.categories = _categories(model.graph)
        self.known_texts = (*self.categories, unlike(self.categories))
        """What a string at an input may be: a category, or something that is none."""

    def program(self) -> Program:
        inputs = self._inputs()
        if not self.knows_ops:
            self._end_if_refused()
        self.builder = Builder(inputs, self.limits)
        try:
            stated = {info.name: info.type.tensor_type.elem_type for info in self.graph.input}
            for index, input_ in enumerate(inputs):
                operand = self.builder.input(index)
                if stated[input_.name] == TensorProto.STRING:
                    self.builder.mark_text(operand, self.known_texts)
                else:
                    operand = with_dtype(operand, DType(stated[input_.name]))
                self.values[input_.name] = operand
        except Outside as outside:
            self._refuse(outside.why, outside.advice)
        if len(self.graph.node) > self.limits.nodes:
            self._refuse(f"it has more than {self.limits.nodes} nodes", "use a smaller model")
            self._end_if_refused()
        for info in real_inputs(self.graph):
            if info.name not in self.values:
                self.values[info.name] = self._stand_in(info.name)
        for node in ordered(self.graph.node):
            if not self._node(node):
                self._end_if_refused()
        outputs = self._outputs()
        self._end_if_refused()
        try:
            names, operands = zip(*outputs, strict=True)
            texts = self.categories if _takes_text(self.graph) else ()
            return self.builder.program(names, operands, texts)
        except Outside as outside:
            self._refuse(outside.why, outside.advice)
            raise ModelRefused(list(self.reasons)) from None

    def _refuse(self, why: str, advice: str, node: str = "", op: str = "") -> None:
        self.reasons[Reason(node, op, why, advice)] = None

    def _end_if_refused(self) -> None:
        if self.reasons:
            raise ModelRefused(list(self.reasons))

    # The file

    def _opsets(self, model: ModelProto) -> tuple[int, int]:
        """Reads the versions of the two domains, 0 for one that the file does not import."""
        versions: dict[str, int] = {}
        for entry in model.opset_import:
            domain = "" if entry.domain == "ai.onnx" else entry.domain
            if versions.setdefault(domain, entry.version) != entry.version:
                self._refuse(f"it imports two opsets of domain {domain!r}", "fix the file")
        for domain, known in (("", OPSETS), ("ai.onnx.ml", ML_OPSETS)):
            if domain in versions and versions[domain] not in known:
                self._refuse(
                    f"opset {versions[domain]} of domain {domain or 'ai.onnx'} is not covered",
                    f"export with {known.start} to {known.stop - 1}",
                )
        return versions.get("", 0), versions.get("ai.onnx.ml", 0)

    def _initializers(self, graph: GraphProto) -> dict[str, TensorProto]:
        if graph.sparse_initializer:
            self._refuse("it has sparse initializers", "make them dense")
        tensors: dict[str, TensorProto] = {}
        for tensor in graph.initializer:
            if not tensor.name or tensor.name in tensors:
                self._refuse(f"two initializers are named {tensor.name!r}", "fix the file")
            tensors[tensor.name] = tensor
            if is_outside(tensor) and self.folder is None:
                self._refuse(
                    f"the data of tensor {tensor.name!r} is outside the file",
                    "save the model with its weights inside",
                )
        return tensors

    # Inputs and outputs

    def _inputs(self) -> list[TensorType]:
        """Reads the graph's inputs that are not initializers, with a number for each dim."""
        infos = [info for info in self.graph.input if info.name not in self.tensors]
        names = [info.name for info in infos]
        if len(set(names)) != len(names) or "" in names:
            self._refuse("two inputs have one name, or one has none", "fix the file")
        if not infos:
            self._refuse("it has no inputs", "give a model that computes something")
        known = self._frozen(infos)
        types = [self._input(info, known) for info in infos]
        return [type_ for type_ in types if type_ is not None]

    def _frozen(self, infos: Sequence[ValueInfoProto]) -> dict[str, int]:
        """Gives symbolic dims by name: those given, and 1 for a leading one that is not given."""
        axes = _open_dims(infos)
        for name, value in self.dims.items():
            if name not in axes:
                names = ", ".join(map(repr, axes)) or "none"
                self._refuse(f"no symbolic dim is named {name!r}", f"its symbolic dims: {names}")
            elif not 0 < value < 1 << 31:
                self._refuse(f"dim {name!r} is given as {value}", "give a positive number")
        return self._sizes(infos)

    def _sizes(self, infos: Sequence[ValueInfoProto]) -> dict[str, int]:
        return _ones(infos) | dict(self.dims)

    def _input(self, info: ValueInfoProto, known: Mapping[str, int]) -> TensorType | None:
        if info.type.WhichOneof("value") != "tensor_type":
            self._refuse(f"input {info.name!r} is not a tensor", "give tensors")
            return None
        tensor = info.type.tensor_type
        known_text = tensor.elem_type == TensorProto.STRING and self.categories
        if tensor.elem_type not in _INPUTS and not known_text:
            name = dtype_name(tensor.elem_type)
            self._refuse(f"input {info.name!r} is of {name}", _IN_PLACE_OF.get(name, _NUMBERS))
            return None
        if not tensor.HasField("shape"):
            self._refuse(f"input {info.name!r} has no shape", "export it with a shape")
            return None
        names = dict(symbols(info))
        shape = []
        for axis, dim in enumerate(tensor.shape.dim):
            if axis not in names:
                shape.append(dim.dim_value)
            elif names[axis] in known:
                shape.append(known[names[axis]])
            else:
                self._refuse(
                    f"dim {names[axis]!r} of input {info.name!r} is not frozen",
                    f"give --dim {names[axis]}=VALUE",
                )
                return None
        if any(not 0 < size < 1 << 31 for size in shape):
            self._refuse(f"input {info.name!r} has dims {tuple(shape)}", "give positive dims")
            return None
        return TensorType(info.name, DType(_in_law(tensor.elem_type)), tuple(shape))

    def _outputs(self) -> list[tuple[str, Operand]]:
        outputs: list[tuple[str, Operand]] = []
        if not self.graph.output:
            self._refuse("it has no outputs", "give a model that computes something")
        for info in self.graph.output:
            try:
                operand = self._value(info.name)
                operand = operand and self.builder.in_law(operand)
            except Outside as outside:
                self._refuse(f"output {info.name!r}: {outside.why}", outside.advice)
                continue
            if operand is None:
                continue
            stated = _in_law(info.type.tensor_type.elem_type if _is_tensor(info.type) else 0)
            if any(info.name == name for name, _ in outputs):
                self._refuse(f"two outputs are named {info.name!r}", "fix the file")
            if operand.type.elements == 0:
                self._refuse(f"output {info.name!r} is {operand.type}", "give it elements")
            texts = self.builder.texts(operand)
            if texts == self.known_texts and _takes_text(self.graph):
                self._refuse(f"output {info.name!r} passes strings through", "leave it out")
            text = stated == TensorProto.STRING and texts is not None
            if stated not in (0, operand.type.dtype) and not text:
                self._refuse(
                    f"output {info.name!r} is said to be {dtype_name(stated)} but is "
                    f"{operand.type.dtype.name.lower()}",
                    "fix the file, or convert the model with float32 inputs",
                )
            outputs.append((info.name, operand))
        return outputs

    # Nodes

    def _node(self, node: NodeProto) -> bool:
        """Lowers one node; says whether to go on to the next."""
        self.builder.node_name = name = node.name or (node.output[0] if node.output else "")
        results: Sequence[Operand | None] = [None] * len(node.output)
        self.lowered += 1
        try:
            if self.lowered > self.limits.nodes:
                raise OverLimit(f"it takes more than {self.limits.nodes} nodes", _SCAN_LESS)
            results = self._lowered(node)
        except OverLimit as over:
            self._refuse(over.why, over.advice, name, node.op_type)
            return False
        except Outside as outside:
            self._refuse(outside.why, outside.advice, name, node.op_type)
        if self.reasons and not self._is_constant(node):
            names = zip(node.output, results, strict=False)
            results = [operand or self._stand_in(output) for output, operand in names]
        for output, operand in zip(node.output, results, strict=False):
            if output in self.values or output in self.tensors:
                self._refuse(f"two values are named {output!r}", "fix the file", name, node.op_type)
            if output:
                self.values[output] = operand
        return True

    def _is_constant(self, node: NodeProto) -> bool:
        """Tells whether a node gives what no input of the model changes."""
        values = [self.values[name] for name in node.input if name in self.values]
        return all(value is not None and self.builder.known(value) is not None for value in values)

    def _stand_in(self, name: str) -> Operand | None:
        """Gives an operand in place of one that was refused, if its type is known: what reads it
        may be refused for another reason, and all are to be named."""
        if self.calls or len(self.values.maps) > 1 or name in self.lists:
            return None  # a name in a branch or a function is not one of the graph
        code, shape = self._guesses.get(name, (0, ()))
        if code not in (*_INPUTS, TensorProto.STRING):
            return None
        type_ = ValueType(DType(_in_law(code)), shape)
        try:
            self.limits.check_type(type_)
        except OverLimit:
            return None
        self.stand_ins += 1
        operand = Operand(OperandKind.INPUT, len(self.graph.input) + self.stand_ins, type_)
        if code == TensorProto.STRING:
            return self.builder.mark_text(operand, self.known_texts)
        if code == TensorProto.DOUBLE:
            self.builder.mark_rounded(operand)
        return with_dtype(operand, DType(code))

    @cached_property
    def _guesses(self) -> Mapping[str, Guess]:
        sizes = self._sizes(real_inputs(self.graph))

        def sized(info: ValueInfoProto) -> None:
            for axis, name in symbols(info):
                if name in sizes:
                    info.type.tensor_type.shape.dim[axis].dim_value = sizes[name]

        return guesses(self.model, sized)

    def _lowered(self, node: NodeProto) -> Sequence[Operand | None]:
        ml = node.domain == "ai.onnx.ml"
        opset = self.ml_opset if ml else self.opset
        if opset:
            schemas.check(node, opset)
        if not ml and node.op_type == "If":
            return self._if(node)
        if not ml and node.op_type == "Scan":
            return self._scan(node)
        if not ml and node.op_type == "Loop":
            return self._loop(node)
        if ml and node.op_type == "ZipMap":
            return self._zip_map(node)
        if node.domain in ("", "ai.onnx") and node.op_type in sequences.OPS:
            return self._listed(node)
        if (function := self.functions.get((node.domain, node.op_type, node.overload))) is not None:
            return self._call(node, function)
        lowering = TABLES.get(node.domain, {}).get(node.op_type)
        if lowering is None and not (opset and schemas.is_written_out(node)):
            raise refuse(node.domain, node.op_type)
        if not opset:
            raise Outside(f"the file imports no opset of domain {node.domain!r}", "fix the file")
        inputs = [self._value(name) if name else None for name in node.input]
        if any(name and operand is None for name, operand in zip(node.input, inputs, strict=True)):
            return [None] * len(node.output)
        if lowering is None:
            types = [operand.type if operand else None for operand in inputs]
            return self._call(node, schemas.written_out(node, opset, types))
        attributes = {name: self._inside(a) for name, a in _attributes(node.attribute).items()}
        source = Source(node.op_type, opset, tuple(inputs), attributes, len(node.output))
        texts = [self.builder.texts(operand) if operand else None for operand in inputs]
        if any(text is not None for text in texts) and node.op_type not in _TEXT_OPS:
            raise Outside("it computes with strings", _IN_PLACE_OF["string"])
        results = floats.lowered(self.builder, lowering, source, node.domain)
        _end_if_unread(source)
        if len(node.output) > len(results):
            raise Outside(
                f"it has {len(node.output)} outputs in place of {len(results)}", "fix the file"
            )
        if node.op_type in _TEXT_MOVES and (text := texts[0]) is not None:
            results = [self.builder.mark_text(operand, text) for operand in results]
        return results

    def _inside(self, attribute: AttributeProto) -> AttributeProto:
        """Gives the attribute with the data of its tensor."""
        if self.folder is None or not is_outside(attribute.t):
            return attribute
        inside = AttributeProto()
        inside.CopyFrom(attribute)
        inside.t.CopyFrom(with_data(attribute.t, self.folder, 8 * self.limits.elements))
        return inside

    def _listed(self, node: NodeProto) -> Sequence[Operand | None]:
        """Lowers an op of lists of tensors. A list is no operand, and kept beside the values."""
        tensors = self.lists.get(node.input[0]) if node.input else None
        names = ["" if tensors is not None and at == 0 else n for at, n in enumerate(node.input)]
        values = [self._value(name) if name else None for name in names]
        if any(name and value is None for name, value in zip(names, values, strict=True)):
            return [None] * len(node.output)
        attributes = _attributes(node.attribute)
        source = Source(node.op_type, self.opset, tuple(values), attributes, len(node.output))
        found = sequences.OPS[node.op_type](self.builder, sequences.Listed(source, tensors))
        _end_if_unread(source)
        if isinstance(found, Operand):
            return [found]
        self.lists[node.output[0]] = tuple(found)
        return [None]

    def _if(self, node: NodeProto) -> Sequence[Operand | None]:
        """Lowers the branch that a constant condition takes, and does not look at the other. Where
        the condition depends on the model's inputs, both run and WHERE chooses."""
        condition = self._value(node.input[0]) if len(node.input) == 1 else None
        if condition is None:
            for name in ("then_branch", "else_branch"):
                self._side(node, name)
            return [None] * len(node.output)
        condition = flag(self.builder, condition)
        known = self.builder.known(condition)
        if known is not None:
            return self._side(node, "then_branch" if known else "else_branch")
        sides = [self._side(node, name) for name in ("then_branch", "else_branch")]
        those, others = ([value for value in side if value is not None] for side in sides)
        if len(those) < len(node.output) or len(others) < len(node.output):
            return [None] * len(node.output)
        return chosen(self.builder, condition, those, others)

    def _side(self, node: NodeProto, name: str) -> Sequence[Operand | None]:
        branch = _attributes(node.attribute).get(name)
        if branch is None or branch.type != AttributeProto.GRAPH:
            raise Outside(f"it has no {name}", "fix the file")
        if branch.g.input or len(branch.g.output) != len(node.output):
            raise Outside(f"its {name} has other inputs or outputs than it has", "fix the file")
        with self._scope({}, self._initializers(branch.g)):
            return self._branch(branch.g)

    def _scan(self, node: NodeProto) -> Sequence[Operand | None]:
        attributes = _attributes(node.attribute)
        body = attributes.pop("body", AttributeProto()).g
        if (len(body.input), len(body.output)) != (len(node.input), len(node.output)):
            raise Outside("its body has other inputs or outputs than it has", "fix the file")
        values = [self._value(name) for name in node.input]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            self._look_into(body)
            return [None] * len(node.output)
        source = Source("Scan", self.opset, tuple(known), attributes, len(node.output))
        with self._scope({}, self._initializers(body)):
            results = scan(self.builder, source, known, self._turn(body, {}))
        _end_if_unread(source)
        return results

    def _loop(self, node: NodeProto) -> Sequence[Operand | None]:
        attributes = _attributes(node.attribute)
        body = attributes.pop("body", AttributeProto()).g
        if len(node.input) < 2 or (len(body.input), len(body.output)) != (
            len(node.input),
            len(node.output) + 1,
        ):
            raise Outside("its body has other inputs or outputs than it has", "fix the file")
        names = [name for name in node.input if name not in self.lists]
        values = [self._value(name) if name else None for name in names]
        if any(name and value is None for name, value in zip(names, values, strict=True)):
            self._look_into(body)
            return [None] * len(node.output)
        lists = {at: self.lists[name] for at, name in enumerate(node.input) if name in self.lists}
        source = Source(
            "Loop", self.opset, tuple(values), attributes, len(node.output) - len(lists)
        )
        reasons = len(self.reasons)
        with self._scope({}, self._initializers(body)):
            turn = self._turn(body, lists)
            results = loop(self.builder, source, values, turn, fixed=bool(lists))
        _end_if_unread(source)
        for at, tensors in lists.items():
            results.insert(at - 2, None)
            if len(self.reasons) == reasons:
                self.lists[node.output[at - 2]] = tensors
        return results

    def _turn(self, body: GraphProto, lists: dict[int, sequences.Tensors]) -> Body:
        """Makes the turn of a body. Those of its states that are lists, by their place among its
        inputs, are kept aside, and each turn changes them."""
        names = [info.name for at, info in enumerate(body.input) if at not in lists]
        results = [info.name for at, info in enumerate(body.output) if at + 1 not in lists]

        def turn(given: Sequence[Operand]) -> Sequence[Operand | None]:
            inside: dict[str, Operand | None] = dict(zip(names, given, strict=True))
            for at, tensors in lists.items():
                inside[body.input[at].name] = None
                self.lists[body.input[at].name] = tensors
            with self._scope(inside, {}):
                if not all(map(self._node, ordered(body.node))):
                    return [None] * len(results)
                for at in lists:
                    name = body.output[at - 1].name
                    if name not in self.lists:
                        if self._value(name) is not None:
                            raise Outside("a list becomes a tensor", "fix the file")
                        return [None] * len(results)
                    lists[at] = self.lists[name]
                return [self._value(name) for name in results]

        return turn

    def _call(self, node: NodeProto, function: FunctionProto) -> Sequence[Operand | None]:
        """Lowers a function of the file's own. Its nodes see only what the call gives it."""
        if self.calls == _CALLS:
            raise Outside(f"functions call each other {_CALLS} deep", "inline them (onnx.inliner)")
        if len(node.input) > len(function.input) or len(node.output) > len(function.output):
            raise Outside("its function has fewer inputs or outputs", "fix the file")
        names = zip(function.input, node.input, strict=False)
        given = {inner: self._value(outer) for inner, outer in names if outer}
        absent = set(function.input) - set(given)
        attributes = {a.name: a for a in function.attribute_proto} | _attributes(node.attribute)
        if unknown := set(attributes) - {*function.attribute} - {*_named(function.attribute_proto)}:
            raise Outside(
                f"its attributes {', '.join(sorted(unknown))} are not known", "fix the file"
            )
        versions = {entry.domain or "ai.onnx": entry.version for entry in function.opset_import}
        opsets = versions.get("ai.onnx", 0), versions.get("ai.onnx.ml", 0)
        if opsets[0] not in (0, *OPSETS) or opsets[1] not in (0, *ML_OPSETS):
            raise Outside(
                f"a function of opsets {opsets} is not covered", "inline it (onnx.inliner)"
            )
        outside = self.values, self.tensors, self.opset, self.ml_opset
        self.values, self.tensors = ChainMap({**given}), ChainMap({})
        self.opset, self.ml_opset = opsets
        self.calls += 1
        try:
            if all(
                self._node(_bound(inner, attributes, absent)) for inner in ordered(function.node)
            ):
                return [self._value(name) for name in function.output[: len(node.output)]]
            return [None] * len(node.output)
        finally:
            self.values, self.tensors, self.opset, self.ml_opset = outside
            self.calls -= 1

    @contextmanager
    def _scope(
        self, values: dict[str, Operand | None], tensors: dict[str, TensorProto]
    ) -> Iterator[None]:
        """Opens a scope for a branch, which sees the names around it and leaves none behind."""
        outside = self.values, self.tensors
        self.values, self.tensors = self.values.new_child(values), self.tensors.new_child(tensors)
        try:
            yield
        finally:
            self.values, self.tensors = outside

    def _look_into(self, body: GraphProto) -> None:
        """Finds reasons to refuse a body, of whose inputs nothing is known."""
        inputs: dict[str, Operand | None] = dict.fromkeys(info.name for info in body.input)
        with self._scope(inputs, self._initializers(body)):
            self._branch(body)

    def _branch(self, graph: GraphProto) -> Sequence[Operand | None]:
        if all(map(self._node, ordered(graph.node))):
            return [self._value(output.name) for output in graph.output]
        return [None] * len(graph.output)

    def _zip_map(self, node: NodeProto) -> Sequence[Operand | None]:
        """Gives the tensor itself, and notes the keys as the program's labels."""
        attributes = _attributes(node.attribute)
        source = Source("ZipMap", self.ml_opset, (), attributes, 1)
        labels = source.integers("classlabels_int64s", ()) or source.texts("classlabels_strings")
        if len(node.input) != 1:
            raise Outside(f"it has {len(node.input)} inputs in place of 1", "fix the file")
        operand = self._value(node.input[0])
        if operand is not None:
            if len(labels) != (operand.type.shape or (1,))[-1]:
                raise Outside(f"it has {len(labels)} labels for {operand.type}", "fix the file")
            self.builder.note_labels(operand, labels)
        return [operand]

    def _value(self, name: str) -> Operand | None:
        """Gives the operand of that name. The first reading of an initializer adds a constant."""
        if self.values.get(name) is None and name in self.lists:
            raise Outside(f"{name!r} is a list of tensors", "take the tensors out of it before")
        if name in self.values:
            return self.values[name]
        tensor = self.tensors.get(name)
        if tensor is None:
            raise Outside(
                f"its input {name!r} is not defined before it",
                "define it; a cycle of nodes has no meaning",
            )
        scopes = zip(self.values.maps, self.tensors.maps, strict=True)
        values = next(values for values, tensors in scopes if name in tensors)
        values[name] = None  # so that a refused tensor is one reason, not one for each reader
        values[name] = self._constant(tensor)
        return values[name]

    def _constant(self, tensor: TensorProto) -> Operand:
        if tensor.data_type == TensorProto.STRING:
            if tuple(tensor.dims) != (len(tensor.string_data),):
                raise Outside(f"strings {tensor.name!r} are not a list", "fix the file")
            try:
                texts = [text.decode() for text in tensor.string_data]
            except UnicodeDecodeError:
                raise Outside(f"strings {tensor.name!r} are not UTF-8", "fix the file") from None
            return self.builder.text(texts, (len(texts),))
        if is_outside(tensor) and self.folder is not None:
            tensor = with_data(tensor, self.folder, 8 * self.limits.elements)
        return tensor_constant(self.builder, tensor)


def _signature(function: FunctionProto) -> tuple[str, str, str]:
    return function.domain, function.name, function.overload


def _named(attributes: Iterable[AttributeProto]) -> list[str]:
    return [attribute.name for attribute in attributes]


def _bound(
    node: NodeProto, attributes: Mapping[str, AttributeProto], absent: Collection[str]
) -> NodeProto:
    """Gives a function's node with the attributes that it takes from the call, and without the
    inputs that the call leaves out."""
    bound = NodeProto()
    bound.CopyFrom(node)
    del bound.input[:], bound.attribute[:]
    bound.input.extend("" if name in absent else name for name in node.input)
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            copy = bound.attribute.add()
            copy.CopyFrom(attribute)
            if attribute.HasField("g"):
                del copy.g.node[:]
                copy.g.node.extend(_bound(n, attributes, absent) for n in attribute.g.node)
        elif attribute.ref_attr_name in attributes:
            copy = bound.attribute.add()
            copy.CopyFrom(attributes[attribute.ref_attr_name])
            copy.name = attribute.name
    return bound


def _end_if_unread(source: Source) -> None:
    if unread := sorted(set(source.attributes) - source.read):
        raise Outside(f"its attributes {', '.join(unread)} are not known", "remove them")


def _is_tensor(type_: TypeProto) -> bool:
    return bool(type_.WhichOneof("value") == "tensor_type")


def real_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Lists the inputs without initializers, which old files list among them."""
    initializers = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in initializers]


def has_text(model: bytes) -> bool:
    """Tells whether a file takes strings or may give some, which the law reads as places in a list
    of categories or labels."""
    graph = ModelProto.FromString(model).graph
    kinds = {info.type.tensor_type.elem_type for info in graph.output}
    return _takes_text(graph) or not kinds.isdisjoint((TensorProto.STRING, TensorProto.UNDEFINED))


def _takes_text(graph: GraphProto) -> bool:
    types = (info.type.tensor_type.elem_type for info in real_inputs(graph))
    return TensorProto.STRING in types


def frozen_dims(model: bytes, given: Mapping[str, int]) -> dict[str, int]:
    """Gives the open dims that `lower` freezes by itself, and the size that it chooses for each:
    an input's first, the batch, is 1 where nothing is given. Raises ModelRefused for no ONNX
    file."""
    ones = _ones(real_inputs(_parsed(model, Limits()).graph))
    return {name: size for name, size in ones.items() if name not in given}


def _ones(infos: Sequence[ValueInfoProto]) -> dict[str, int]:
    return {name: 1 for name, axis in _open_dims(infos).items() if axis == 0}


def _open_dims(infos: Sequence[ValueInfoProto]) -> dict[str, int]:
    """Gives the symbolic dims by name, each with its axis: the first, if some input has it so."""
    axes = {name: axis for info in infos for axis, name in symbols(info)}
    for info in infos:
        axes |= {name: axis for axis, name in symbols(info) if axis == 0}
    return axes


def symbols(info: ValueInfoProto) -> Iterator[tuple[int, str]]:
    """Yields axis and name of each dim without a value; one without a name is called INPUT.AXIS.
    What has no letter in it ('?') is no name, and −1 is no value."""
    for axis, dim in enumerate(info.type.tensor_type.shape.dim):
        if dim.WhichOneof("value") != "dim_value" or dim.dim_value == -1:
            named = any(map(str.isalpha, dim.dim_param))
            yield axis, dim.dim_param if named else f"{info.name}.{axis}"


def _attributes(attributes: Sequence[AttributeProto]) -> dict[str, AttributeProto]:
    named = {attribute.name: attribute for attribute in attributes}
    if len(named) != len(attributes):
        raise Outside("it has an attribute twice", "fix the file")
    if any(attribute.ref_attr_name for attribute in attributes):
        raise Outside("an attribute refers to a function's", "inline functions (onnx.inliner)")
    return named


def _in_law(code: int) -> int:
    """Gives the dtype that the signature says: float32 for all floats, a wider one for integers
    that the law lacks, and for strings that of places in a list."""
    if code in FLOATS:
        return DType.FLOAT
    if code == TensorProto.STRING:
        return DType.INT64
    return WIDENED[DType(code)] if code in WIDENED else code


def _categories(graph: GraphProto) -> tuple[str, ...]:
    """Lists the strings that the graph's encoders know, in the file's order, each once."""
    known = (
        text
        for node in graph.node
        for attribute in node.attribute
        if attribute.name in ("keys_strings", "cats_strings")
        for text in attribute.strings
    )
    return tuple(dict.fromkeys(text.decode(errors="replace") for text in known))


def unlike(texts: Iterable[str]) -> str:
    """Makes a string that none of these is."""
    return "?" * (1 + max(map(len, texts), default=0))
