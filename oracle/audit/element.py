"""Computes one element of one primitive. It is written from docs/exact.md alone, to check the law
with none of the law's code.

Each rule asks for the elements that it reads, run by run, in the order of `IReferee`, because a
proof opens these runs and no others. The families stand in the order of that page.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import isinf, isnan, prod
from struct import pack, unpack

from oracle.audit import functions
from oracle.audit.numbers import INF, NAN, SIGNED, Element, Result, dot, nearest, total, wrapped
from oracle.errors import WrongEvidence
from oracle.types import DType

Read = Callable[[int, int, int], Sequence[Element]]
"""Reads `count` neighbouring elements of an operand, in C order: (operand, first, count)."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Element type and shape."""

    dtype: DType
    shape: Shape

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Primitive:
    """A node's op, the types that it reads its operands with, its output's type, its attributes."""

    op: int
    operands: tuple[Tensor, ...]
    output: Tensor
    attributes: tuple[int, ...]


def compute(node: Primitive, element: int, read: Read) -> Result:
    """Computes the element. Raises WrongEvidence for an op that the law does not have."""
    rule = _RULES.get(node.op)
    if rule is None:
        raise WrongEvidence(f"there is no op 0x{node.op:04x}")

    def read_some(operand: int, first: int, count: int) -> Sequence[Element]:
        return read(operand, first, count) if count else ()

    return rule(node, element, read_some)


def op_name(op: int) -> str:
    """Gives the op's name in docs/exact.md."""
    return _NAMES.get(op, f"0x{op:04x}")


# 01: LINEAR


def _dot(node: Primitive, element: int, read: Read) -> Result:
    *batch, rows, columns = node.output.shape
    a, b = node.operands[:2]
    k = a.shape[-1]
    matrix, inside = divmod(element, rows * columns)
    row, column = divmod(inside, columns)
    left = read(0, (_broadcast(a.shape[:-2], batch, matrix) * rows + row) * k, k)
    right = read(1, (_broadcast(b.shape[:-2], batch, matrix) * columns + column) * k, k)
    pairs = list(zip(left, right, strict=True))
    if len(node.operands) == 3:
        at = _broadcast(node.operands[2].shape, node.output.shape, element)
        pairs.append((read(2, at, 1)[0], 1))
    return dot(pairs, node.output.dtype)


# 02, 03, 08, 09: ELEMENT BY ELEMENT


def _elementwise(rule: Callable[..., Result]) -> Callable[[Primitive, int, Read], Result]:
    """Makes a node's rule from one of its operands' elements and the first operand's dtype."""

    def computed(node: Primitive, element: int, read: Read) -> Result:
        return rule(*_operands(node, element, read), node.operands[0].dtype)

    return computed


def _operands(node: Primitive, element: int, read: Read) -> list[Element]:
    return [
        read(at, _broadcast(operand.shape, node.output.shape, element), 1)[0]
        for at, operand in enumerate(node.operands)
    ]


def _function(rule: Callable[..., Result]) -> Callable[[Primitive, int, Read], Result]:
    """Makes a node's rule from a function of real numbers."""
    return lambda node, element, read: rule(*map(float, _operands(node, element, read)))


def _add(x: Element, y: Element, dtype: DType) -> Result:
    return total((x, y), dtype)


def _subtract(x: Element, y: Element, dtype: DType) -> Result:
    return total((x, -y), dtype)


def _multiply(x: Element, y: Element, dtype: DType) -> Result:
    return dot([(x, y)], dtype)


def _divide(x: Element, y: Element, dtype: DType) -> Result:
    if dtype is not DType.FLOAT:
        return _quotient(int(x), int(y), dtype)
    if isnan(x) or isnan(y) or (isinf(x) and isinf(y)) or (x == 0 and y == 0):
        return NAN
    if isinf(y):
        return 0
    if y == 0:
        return INF if x > 0 else -INF  # there is no −0
    if isinf(x):
        return x if y > 0 else -x
    return Fraction(x) / Fraction(y)


def _quotient(x: int, y: int, dtype: DType) -> int:
    """Divides, truncating towards zero. A divisor of 0 gives 0."""
    if y == 0:
        return 0
    size = abs(x) // abs(y)
    return wrapped(size if (x < 0) == (y < 0) else -size, dtype)


def _modulo(x: Element, y: Element, dtype: DType) -> Result:
    if dtype is not DType.FLOAT:
        return int(x) if y == 0 else int(x) - int(y) * _quotient(int(x), int(y), dtype)
    if isnan(x) or isnan(y) or isinf(x) or y == 0:
        return NAN
    if isinf(y):
        return x
    rest = abs(Fraction(x)) % abs(Fraction(y))
    return rest if x >= 0 else -rest


def _absolute(x: Element, dtype: DType) -> Result:
    return x if dtype is DType.FLOAT and isnan(x) else abs(x)


def _maximum(x: Element, y: Element, dtype: DType) -> Result:
    return _extreme((x, y), dtype, largest=True)


def _minimum(x: Element, y: Element, dtype: DType) -> Result:
    return _extreme((x, y), dtype, largest=False)


def _where(node: Primitive, element: int, read: Read) -> Result:
    """Reads the condition, and of the two others only the one that is chosen."""
    places = [_broadcast(each.shape, node.output.shape, element) for each in node.operands]
    chosen = 1 if read(0, places[0], 1)[0] else 2
    return read(chosen, places[chosen], 1)[0]


def _cast(node: Primitive, element: int, read: Read) -> Result:
    [x] = _operands(node, element, read)
    source, target = node.operands[0].dtype, node.output.dtype
    if target is DType.BOOL:
        return int(x != 0)  # a NaN is not 0
    if source is not DType.FLOAT or target is DType.FLOAT:
        return x
    if isnan(x):
        return 0
    width = 8 * target.itemsize
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if target in SIGNED else (0, 2**width - 1)
    if isinf(x):
        return high if x > 0 else low
    return min(max(int(x), low), high)


def _quantize(node: Primitive, element: int, read: Read) -> Result:
    x, scale, zero = _operands(node, element, read)
    quotient = nearest(_divide(x, scale, DType.FLOAT))
    target = node.output.dtype
    low, high = (-128, 127) if target is DType.INT8 else (0, 255)
    if isnan(quotient):
        quotient = 0.0
    if isinf(quotient):
        return high if quotient > 0 else low
    return min(max(round(quotient) + int(zero), low), high)


# 04: REDUCE


def _row(node: Primitive, row: int, read: Read) -> Sequence[Element]:
    k = node.operands[0].shape[1]
    return read(0, row * k, k)


def _reduce_sum(node: Primitive, element: int, read: Read) -> Result:
    return total(_row(node, element, read), node.output.dtype)


def _reduce_mean(node: Primitive, element: int, read: Read) -> Result:
    return _mean(_row(node, element, read), node.operands[0].shape[1])


def _reduce_max(node: Primitive, element: int, read: Read) -> Result:
    return _extreme(_row(node, element, read), node.output.dtype, largest=True)


def _reduce_min(node: Primitive, element: int, read: Read) -> Result:
    return _extreme(_row(node, element, read), node.output.dtype, largest=False)


def _arg_max(node: Primitive, element: int, read: Read) -> Result:
    row = _row(node, element, read)
    best = max(map(_rank, row))
    places = [at for at, x in enumerate(row) if _rank(x) == best]
    return places[-1 if node.attributes[0] else 0]


def _top_k(node: Primitive, element: int, read: Read) -> Result:
    outer, place = divmod(element, node.attributes[0])
    row = _row(node, outer, read)
    # sorted() keeps the order of equals, so of equals the first comes first.
    return sorted(range(len(row)), key=lambda at: _rank(row[at]), reverse=True)[place]


def _cumulative_sum(node: Primitive, element: int, read: Read) -> Result:
    row, column = divmod(element, node.output.shape[1])
    return total(read(0, row * node.output.shape[1], column + 1), node.output.dtype)


def _mean(terms: Sequence[Element], count: int) -> Result:
    if count == 0:
        return NAN
    summed = total(terms, DType.FLOAT)
    return summed if isinstance(summed, float) else Fraction(summed) / count


def _extreme(values: Sequence[Element], dtype: DType, largest: bool) -> Result:
    """Gives the largest or smallest: NaN if any is NaN, and of no values the one that all beat."""
    if any(isnan(value) for value in values):
        return NAN
    if values:
        return max(values) if largest else min(values)
    if dtype is DType.FLOAT:
        return -INF if largest else INF
    width = 8 * dtype.itemsize
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if dtype in SIGNED else (0, 2**width - 1)
    return low if largest else high


def _rank(x: Element) -> tuple[bool, Element]:
    """Gives a key to sort by. NaN is above +∞, and all NaN are equal."""
    return (True, 0) if isnan(x) else (False, x)


# 05: MOVEMENT


def _transpose(node: Primitive, element: int, read: Read) -> Result:
    source = node.operands[0].shape
    place = [0] * len(source)
    for axis, index in zip(node.attributes, _places(node.output.shape, element), strict=True):
        place[axis] = index
    return read(0, _flat(source, place), 1)[0]


def _concat(node: Primitive, element: int, read: Read) -> Result:
    row, column = divmod(element, node.output.shape[1])
    for operand, tensor in enumerate(node.operands):
        width = tensor.shape[1]
        if column < width:
            return read(operand, row * width + column, 1)[0]
        column -= width
    raise WrongEvidence("the widths of CONCAT's operands are not its output's")


def _gather(node: Primitive, element: int, read: Read) -> Result:
    outer, at, inner = _places(node.output.shape, element)
    shape = node.operands[0].shape
    index = _clamped(int(read(1, at, 1)[0]), shape[1])
    return read(0, _flat(shape, (outer, index, inner)), 1)[0]


def _scatter(node: Primitive, element: int, read: Read) -> Result:
    """Reads all indices, then what is merged in the element's place. Where updates replace, only
    the last one is read, and not the place's own element."""
    rows, width = node.output.shape
    row, column = divmod(element, width)
    count = node.operands[1].shape[0]
    indices = read(1, 0, count)
    updates = [at for at, index in enumerate(indices) if _clamped(int(index), rows) == row]
    mode = node.attributes[0]
    if mode == 0 and updates:
        return read(2, updates[-1] * width + column, 1)[0]
    values = [read(0, element, 1)[0]]
    values += [read(2, at * width + column, 1)[0] for at in updates]
    match mode:
        case 0:
            return values[0]
        case 1:
            return total(values, node.output.dtype)
        case 2 | 3:
            return _extreme(values, node.output.dtype, largest=mode == 2)
    raise WrongEvidence(f"SCATTER has no mode {mode}")


def _clamped(index: int, size: int) -> int:
    return min(max(index + size if index < 0 else index, 0), size - 1)


# 06: WINDOWS


@dataclass(frozen=True, slots=True)
class Axis:
    """How windows lie along one axis. `last` is a CONV's spacing, or a pool's overhang."""

    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    last: int

    def spots(self, window: int) -> range:
        """Gives the spots on which a window's taps stand: a hundred million, if a publisher likes,
        of which all but a few are padding."""
        first = window * self.stride - self.begin
        return range(first, first + self.kernel * self.dilation, self.dilation)

    def taps(self, window: int, size: int, spacing: int) -> list[tuple[int, int]]:
        """Gives (tap, element) for each tap of a window that stands on an element."""
        return [
            (tap, spot // spacing)
            for tap, spot in enumerate(self.spots(window))
            if spot % spacing == 0 and 0 <= spot // spacing < size
        ]


def _axes(node: Primitive) -> list[Axis]:
    numbers = node.attributes[1:]
    return [Axis(*numbers[at : at + 6]) for at in range(0, len(numbers), 6)]


def _conv(node: Primitive, element: int, read: Read) -> Result:
    x, w = node.operands[:2]
    group, (outputs, *kernel, channels) = node.attributes[0], w.shape
    axes = _axes(node)
    n, *window, output = _places(node.output.shape, element)
    row = read(1, output * prod(kernel) * channels, prod(kernel) * channels)
    bias = read(2, output, 1) if len(node.operands) == 3 else ()
    first = output // (outputs // group) * channels
    along = [
        axis.taps(at, size, axis.last)
        for axis, at, size in zip(axes, window, x.shape[1:-1], strict=True)
    ]
    # Neighbours in the image are read as one run where a pixel is read as a whole.
    joins = group == 1 and axes[-1].dilation == axes[-1].last
    pairs: list[tuple[Element, Element]] = [(value, 1) for value in bias]
    for taps in _runs(along, joins):
        place = (n, *(spot for _, spot in taps[0]), first)
        found = read(0, _flat(x.shape, place), len(taps) * channels)
        for at, tap in enumerate(taps):
            weights = _flat(tuple(kernel), [number for number, _ in tap]) * channels
            for channel in range(channels):
                pairs.append((found[at * channels + channel], row[weights + channel]))
    return dot(pairs, node.output.dtype)


def _max_pool(node: Primitive, element: int, read: Read) -> Result:
    return _extreme(_pooled(node, element, read), node.output.dtype, largest=True)


def _average_pool(node: Primitive, element: int, read: Read) -> Result:
    values = _pooled(node, element, read)
    count = len(values)
    if node.attributes[0]:
        _, *window, _ = _places(node.output.shape, element)
        sizes = node.operands[0].shape[1:-1]
        count = prod(
            sum(spot < size + axis.end for spot in axis.spots(at))
            for axis, at, size in zip(_axes(node), window, sizes, strict=True)
        )
    return _mean(values, count)


def _pooled(node: Primitive, element: int, read: Read) -> list[Element]:
    """Reads the elements on which the taps of a pool's window stand."""
    shape = node.operands[0].shape
    n, *window, channel = _places(node.output.shape, element)
    axes = _axes(node)
    along = [
        axis.taps(at, size, 1) for axis, at, size in zip(axes, window, shape[1:-1], strict=True)
    ]
    joins = shape[-1] == 1 and axes[-1].dilation == 1
    found: list[Element] = []
    for taps in _runs(along, joins):
        place = (n, *(spot for _, spot in taps[0]), channel)
        found += read(0, _flat(shape, place), len(taps))
    return found


def _runs(
    along: Sequence[Sequence[tuple[int, int]]], joins: bool
) -> Iterator[Sequence[tuple[tuple[int, int], ...]]]:
    """Yields the taps of a window in C order, grouped by the runs in which they are read."""
    *outer, last = along
    for before in product(*outer):
        taps = [(*before, tap) for tap in last]
        if joins and taps:
            yield taps
        else:
            yield from ([tap] for tap in taps)


# 07: TREES

FEATURE, THRESHOLD, BELOW, ABOVE, MISSING, LEAF, WIDTH = 0, 1, 2, 3, 4, 5, 8


def _tree_walk(node: Primitive, element: int, read: Read) -> Result:
    row, tree = divmod(element, node.output.shape[1])
    features = node.operands[0].shape[1]
    at = int(read(2, tree, 1)[0])
    for _ in range(node.attributes[0] + 1):
        here = [int(number) for number in read(1, at * WIDTH, WIDTH)]
        if here[BELOW] == at:
            return here[LEAF]
        [x] = read(0, row * features + here[FEATURE], 1)
        threshold = unpack(">f", pack(">I", here[THRESHOLD] & 0xFFFFFFFF))[0]
        at = here[MISSING] if isnan(x) else here[BELOW] if x <= threshold else here[ABOVE]
    raise WrongEvidence("a walk takes more steps than its node allows")


# PLACES


def _places(shape: Shape, element: int) -> list[int]:
    """Gives an element's index along each axis."""
    places = []
    for size in reversed(shape):
        element, place = divmod(element, size)
        places.append(place)
    return places[::-1]


def _flat(shape: Sequence[int], places: Sequence[int]) -> int:
    element = 0
    for size, place in zip(shape, places, strict=True):
        element = element * size + place
    return element


def _broadcast(own: Sequence[int], shape: Sequence[int], element: int) -> int:
    """Gives the operand's element that stands at an element of the shape it is stretched to."""
    places = _places(tuple(shape), element)[len(shape) - len(own) :]
    return _flat(own, [0 if size == 1 else at for size, at in zip(own, places, strict=True)])


_OPS: dict[int, tuple[str, Callable[[Primitive, int, Read], Result]]] = {
    0x0100: ("DOT", _dot),
    0x0200: ("ADD", _elementwise(_add)),
    0x0201: ("SUB", _elementwise(_subtract)),
    0x0202: ("MUL", _elementwise(_multiply)),
    0x0203: ("DIV", _elementwise(_divide)),
    0x0204: ("NEG", _elementwise(lambda x, _: -x)),
    0x0205: ("ABS", _elementwise(_absolute)),
    0x0206: ("SQRT", _function(functions.square_root)),
    0x0207: ("MAX", _elementwise(_maximum)),
    0x0208: ("MIN", _elementwise(_minimum)),
    0x0209: ("LESS", _elementwise(lambda x, y, _: int(x < y))),
    0x020A: ("WHERE", _where),
    0x020B: ("CAST", _cast),
    0x0240: ("EQUAL", _elementwise(lambda x, y, _: int(x == y))),
    0x0241: ("AND", _elementwise(lambda x, y, _: x & y)),
    0x0242: ("OR", _elementwise(lambda x, y, _: x | y)),
    0x0243: ("XOR", _elementwise(lambda x, y, _: x ^ y)),
    0x0244: ("MOD", _elementwise(_modulo)),
    0x0300: ("EXP", _function(functions.exp)),
    0x0301: ("LOG", _function(functions.log)),
    0x0302: ("SIGMOID", _function(functions.sigmoid)),
    0x0303: ("TANH", _function(functions.tanh)),
    0x0304: ("ERF", _function(functions.erf)),
    0x0400: ("REDUCE_SUM", _reduce_sum),
    0x0401: ("REDUCE_MEAN", _reduce_mean),
    0x0402: ("REDUCE_MAX", _reduce_max),
    0x0403: ("REDUCE_MIN", _reduce_min),
    0x0404: ("ARG_MAX", _arg_max),
    0x0440: ("TOP_K", _top_k),
    0x0441: ("CUM_SUM", _cumulative_sum),
    0x0500: ("TRANSPOSE", _transpose),
    0x0501: ("CONCAT", _concat),
    0x0502: ("GATHER", _gather),
    0x0540: ("SCATTER", _scatter),
    0x0600: ("CONV", _conv),
    0x0601: ("MAX_POOL", _max_pool),
    0x0602: ("AVERAGE_POOL", _average_pool),
    0x0700: ("TREE_WALK", _tree_walk),
    0x0800: ("QUANTIZE", _quantize),
    0x0900: ("LOG1P", _function(functions.log1p)),
    0x0901: ("SIN", _function(functions.sin)),
    0x0902: ("COS", _function(functions.cos)),
    0x0903: ("ATAN", _function(functions.atan)),
    0x0904: ("POW", _function(functions.power)),
}
_RULES = {op: rule for op, (_, rule) in _OPS.items()}
_NAMES = {op: name for op, (name, _) in _OPS.items()}
