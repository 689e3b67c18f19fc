"""Payloads: canonical, big-endian, in order, and refused when they do not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.errors import (
    WrongPayloadLength,
    WrongTensorCount,
    WrongTensorShape,
    WrongTensorType,
)
from oracle.tensor import canonical, decode, encode, numpy_dtype, to_bytes
from oracle.types import DType, TensorType

HELD = [dtype for dtype in DType if dtype.itemsize and dtype is not DType.BFLOAT16]


def words(array: np.ndarray) -> list[int]:
    return array.ravel().view(np.uint32).tolist()


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_canonical_changes_nothing_but_zeros_and_nans(drawn):
    array = np.array(drawn, np.uint32).view(np.float32)
    for before, after in zip(drawn, words(canonical(array)), strict=True):
        if before & 0x7FFFFFFF > 0x7F800000:
            assert after == 0x7FC00000
        elif before == 0x80000000:
            assert after == 0
        else:
            assert after == before


def test_canonical_keeps_the_shape_and_its_argument():
    for shape in ((), (0,), (2, 0, 3), (2, 3)):
        array = np.full(shape, np.array(0xFFC00001, np.uint32).view(np.float32))
        before = array.tobytes()
        assert canonical(array).shape == shape
        assert array.tobytes() == before
    transposed = np.full((2, 3), -0.0, np.float32).T
    assert words(np.ascontiguousarray(canonical(transposed))) == [0] * 6


def test_canonical_passes_other_dtypes():
    array = np.arange(3)
    assert canonical(array) is array


def test_encode_is_big_endian_in_order_with_nothing_between():
    arrays = [np.array([[1.0, -0.0]], np.float32), np.array(-2, np.int64), np.array([True, False])]
    types = [
        TensorType("a", DType.FLOAT, (1, 2)),
        TensorType("b", DType.INT64, ()),
        TensorType("c", DType.BOOL, (2,)),
    ]
    assert encode(arrays, types).hex() == "3f80000000000000" + "fffffffffffffffe" + "0100"


@given(st.data())
def test_decode_undoes_encode(data):
    types, arrays = [], []
    for place in range(data.draw(st.integers(0, 4))):
        dtype = data.draw(st.sampled_from(HELD))
        shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
        count = int(np.prod(shape)) * dtype.itemsize
        raw = data.draw(st.binary(min_size=count, max_size=count))
        raw = bytes(byte & 1 for byte in raw) if dtype is DType.BOOL else raw
        types.append(TensorType(f"t{place}", dtype, shape))
        arrays.append(canonical(np.frombuffer(raw, numpy_dtype(dtype)).reshape(shape)))
    back = decode(encode(arrays, types), types)
    for before, after in zip(arrays, back, strict=True):
        assert before.dtype == after.dtype and before.shape == after.shape
        assert before.tobytes() == after.tobytes()
        assert after.flags.writeable


def test_decode_reads_the_canonical_form():
    (array,) = decode(bytes.fromhex("80000000ffc00001"), [TensorType("x", DType.FLOAT, (2,))])
    assert words(array) == [0, 0x7FC00000]


@pytest.mark.parametrize("length", [0, 7, 9, 1000])
def test_decode_refuses_a_payload_of_the_wrong_length(length):
    with pytest.raises(WrongPayloadLength) as refused:
        decode(bytes(length), [TensorType("x", DType.FLOAT, (2,))])
    assert (refused.value.actual, refused.value.needed) == (length, 8)


@pytest.mark.parametrize("byte", [2, 128, 255])
def test_decode_reads_any_bool_but_zero_as_true(byte):
    """As the referee does: a payload that nobody can run is one that anybody may lie about."""
    (array,) = decode(bytes([0, byte]), [TensorType("x", DType.BOOL, (2,))])
    assert to_bytes(array) == bytes([0, 1])


@pytest.mark.parametrize("dtype", [DType.STRING, DType.UNDEFINED, DType.COMPLEX64, DType.BFLOAT16])
def test_decode_refuses_dtypes_that_no_payload_holds(dtype):
    with pytest.raises(WrongTensorType):
        decode(b"", [TensorType("x", dtype, (0,))])


def test_encode_refuses_arrays_that_do_not_fit():
    types = [TensorType("x", DType.FLOAT, (2,))]
    with pytest.raises(WrongTensorCount):
        encode([], types)
    with pytest.raises(WrongTensorShape) as refused:
        encode([np.zeros(3, np.float32)], types)
    assert (refused.value.actual, refused.value.needed) == ((3,), (2,))
    with pytest.raises(WrongTensorType):
        encode([np.zeros(2)], types)
