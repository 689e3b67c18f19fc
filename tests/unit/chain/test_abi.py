import tracemalloc
from dataclasses import replace

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from oracle.chain import abi
from oracle.chain.abi import decoded
from oracle.chain.artifacts import abi_type, artifact
from oracle.chain.blueprints import DISPUTES, QUEUE, REGISTRY
from oracle.chain.decoder import Decoder
from oracle.chain.preimage import MODEL, model_of
from oracle.errors import EvidenceError, MalformedData
from tests import chains
from tests.bundles import bomb, word

_TENSORS = st.lists(
    st.tuples(
        st.binary(max_size=70),
        st.integers(0, 255),
        st.lists(st.integers(0, 2**32 - 1), max_size=5),
    ),
    max_size=4,
)
_MODELS = st.tuples(
    st.binary(max_size=70),
    st.binary(max_size=70),
    *[st.binary(min_size=32, max_size=32)] * 3,
    _TENSORS,
    _TENSORS,
    st.integers(0, 255),
    st.integers(0, 2**256 - 1),
)


@given(_MODELS)
def test_decoded_gives_what_was_encoded(model):
    data = encode(("address", MODEL), ("0x" + "11" * 20, model))
    _, found = decoded(("address", MODEL), data)
    tensors = [tuple((n, d, tuple(s)) for n, d, s in model[at]) for at in (5, 6)]
    assert found == (*model[:5], *tensors, *model[7:])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8[3][]", [[1, 2, 3]] * 4),
        ("(uint8,bytes)[2]", [(1, b"a"), (2, b"bb")]),
        ("bytes[2][]", [[b"a", b"c" * 33]]),
        ("(uint256,uint256[2])", (1, [2, 3])),
        ("string", ""),
        ("bytes32[]", []),
    ],
)
def test_decoded_takes_every_form_of_type(kind, value):
    data = encode([kind], [value])
    assert encode([kind], decoded([kind], data)) == data
    for end in range(0, len(data), 32):
        with pytest.raises(MalformedData):
            decoded([kind], data[:end])


def test_every_event_and_error_of_ours_can_be_checked():
    for name in (REGISTRY, QUEUE, DISPUTES):
        for entry in artifact(name).abi:
            if entry["type"] in ("event", "error"):
                with pytest.raises(MalformedData):
                    abi.check([abi_type(each) for each in entry["inputs"]] + ["bytes"], b"")


@pytest.mark.parametrize(("tensors", "rank"), [(700, 1500), (16_000, 16_000), (30_000, 2)])
def test_model_of_refuses_tensors_that_share_one_shape(tensors, rank):
    """A MiB of it would be 2^28 numbers, or none would be read for minutes."""
    data = bomb(tensors, rank)
    tracemalloc.start()
    try:
        with pytest.raises(EvidenceError, match="claims to hold more"):
            model_of(data)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_model_of_refuses_a_length_that_no_data_has():
    data = bytearray(bomb(1, 1))
    data[10 * 32 : 11 * 32] = b"\xff" * 32
    with pytest.raises(EvidenceError, match="cannot be read"):
        model_of(bytes(data))


def test_decode_refuses_a_log_that_our_contracts_cannot_have_written(embedded: chains.World):
    model_id = embedded.publish()
    [log] = embedded.chain.logs((embedded.deployment.registry,), 0, embedded.head(), model_id)
    assert Decoder().decode(log, 0) is not None
    data = log.data
    for bad in (b"", data[:-32], data[:100], word(64) * 2 + bomb(700, 1500)[64:]):
        with pytest.raises(MalformedData):
            Decoder().decode(replace(log, data=bad), 0)
