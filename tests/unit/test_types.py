"""Sizes of payloads, and enums that mirror Solidity's."""

import pytest

from oracle.chain.artifacts import artifact
from oracle.types import Account, DType, Signature, Status, TensorType, Wei

SIZES = {
    DType.UNDEFINED: 0,
    DType.FLOAT: 4,
    DType.UINT8: 1,
    DType.INT8: 1,
    DType.UINT16: 2,
    DType.INT16: 2,
    DType.INT32: 4,
    DType.INT64: 8,
    DType.STRING: 0,
    DType.BOOL: 1,
    DType.FLOAT16: 2,
    DType.DOUBLE: 8,
    DType.UINT32: 4,
    DType.UINT64: 8,
    DType.COMPLEX64: 0,
    DType.COMPLEX128: 0,
    DType.BFLOAT16: 2,
}


@pytest.mark.parametrize("dtype", DType)
def test_itemsize_is_the_contracts(dtype: DType) -> None:
    """`ModelRegistry._itemSize` packs the same into one number, a hex digit a code."""
    assert dtype.itemsize == SIZES[dtype] == (0x20084821084221140 >> (4 * dtype)) & 0xF


def test_elements_of_a_scalar_is_one() -> None:
    assert TensorType("x", DType.INT64, ()).elements == 1


def test_nbytes_multiplies_shape_and_itemsize() -> None:
    assert TensorType("x", DType.FLOAT16, (2, 3, 4)).nbytes == 48


def test_str_of_a_tensor_type_reads_like_a_declaration() -> None:
    assert str(TensorType("x", DType.FLOAT, (1, 30))) == "x: float[1,30]"


def test_lengths_of_a_signature_add_up_its_tensors() -> None:
    x = TensorType("x", DType.FLOAT, (3,))
    y = TensorType("y", DType.INT64, ())
    signature = Signature((x, y), (y,))

    assert (signature.input_length, signature.output_length) == (20, 8)


def test_free_is_what_is_not_locked() -> None:
    assert Account(Wei(10), Wei(4), 0).free == 6


def test_status_has_the_order_of_the_contract() -> None:
    """`WrongStatus` carries both numbers; its ABI says which enum they are of."""
    [error] = [
        entry for entry in artifact("InferenceQueue").abi if entry.get("name") == "WrongStatus"
    ]

    assert {each["internalType"] for each in error["inputs"][1:]} == {"enum Status"}
    assert [status.name for status in Status] == [
        "NONE",
        "REQUESTED",
        "PROPOSED",
        "SETTLED",
        "EXPIRED",
    ]
