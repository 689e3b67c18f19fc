"""Words to values and back, and the hashes that the contracts take of them."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle.chain.codec import (
    GWEI,
    address_of,
    model_from_words,
    model_words,
    proposal_from_words,
    proposal_words,
    request_bytes,
    request_from_bytes,
    request_from_words,
    request_id,
    request_words,
    terms_from_word,
    terms_word,
)
from oracle.chain.contracts import Queue
from oracle.types import (
    Assurance,
    DType,
    Model,
    ModelTerms,
    Proposal,
    Request,
    Signature,
    TensorType,
    Wei,
)
from tests.chains import World, address, model, raw_call, request


def uint(width: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**width - 1)


words32 = st.binary(min_size=32, max_size=32)
addresses = uint(160).map(address_of)
all_terms = st.builds(
    ModelTerms,
    publisher=addresses,
    royalty=uint(40).map(lambda gwei: gwei * GWEI),
    input_length=uint(24),
    output_length=uint(24),
    is_exact=st.booleans(),
    has_float32_output=st.booleans(),
    generates=st.booleans(),
    is_sampled=st.booleans(),
)
requests = st.builds(
    Request,
    model=words32,
    terms=all_terms,
    input_root=words32,
    consumer=addresses,
    fee=uint(96),
    operator=st.none() | st.integers(1, 2**160 - 1).map(address_of),
    bond=uint(96),
    refund_to=addresses,
    input_length=uint(32),
    max_output_length=uint(32),
    deadline=uint(64),
    window=uint(32),
    callback_gas=uint(32),
    nonce=uint(64),
    entropy=uint(64),
)
proposals = st.builds(
    Proposal,
    operator=addresses,
    epoch=uint(32),
    proposed_at=uint(64),
    settle_at=uint(64),
    output_length=uint(32),
    by_signer=st.booleans(),
)
tensors = st.builds(
    TensorType, name=st.text(), dtype=st.sampled_from(DType), shape=st.lists(uint(32)).map(tuple)
)
signatures = st.builds(
    Signature, inputs=st.lists(tensors).map(tuple), outputs=st.lists(tensors).map(tuple)
)
models = st.builds(
    Model,
    publisher=addresses,
    name=st.text(),
    version=st.text(),
    program_root=words32,
    source_hash=words32,
    signature=signatures,
    assurance=st.sampled_from(Assurance),
    royalty=uint(256),
    generation=words32,
)
on_chain = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(uint(256))
def test_terms_word_is_the_word_again_but_for_bits_that_mean_nothing(word: int) -> None:
    assert terms_word(terms_from_word(word)) == word & ~0xF0


@given(all_terms)
def test_terms_from_word_is_the_inverse_of_terms_word(terms: ModelTerms) -> None:
    assert terms_from_word(terms_word(terms)) == terms


@given(requests)
def test_request_from_words_is_the_inverse_of_request_words(what: Request) -> None:
    assert request_from_words(request_words(what)) == what


@given(requests)
def test_request_from_bytes_is_the_inverse_of_request_bytes(what: Request) -> None:
    data = request_bytes(what)

    assert (len(data), request_from_bytes(data)) == (224, what)


@given(requests, requests)
def test_request_bytes_of_different_requests_differ(one: Request, other: Request) -> None:
    assert (request_bytes(one) == request_bytes(other)) == (one == other)


@given(proposals)
def test_proposal_from_words_is_the_inverse_of_proposal_words(proposal: Proposal) -> None:
    assert proposal_from_words(proposal_words(proposal)) == proposal


@settings(max_examples=30, deadline=None)
@given(models)
def test_model_from_words_is_the_inverse_of_model_words(what: Model) -> None:
    assert model_from_words(what.publisher, model_words(what)) == what


@on_chain
@given(requests)
def test_request_id_is_the_contracts(embedded: World, what: Request) -> None:
    id_ = request_id(what, embedded.chain.id, embedded.deployment.queue)

    assert id_ == embedded.chain.call(raw_call(embedded.queue, "idOf", what))


@on_chain
@given(models)
def test_model_id_of_any_model_can_be_asked(embedded: World, what: Model) -> None:
    """The encoding takes what the types allow."""
    assert len(embedded.registry.id_of(what)) == 32


def test_request_id_binds_chain_and_queue(embedded: World) -> None:
    what, chain_id, queue = request(), embedded.chain.id, embedded.deployment.queue

    ids = {
        request_id(what, chain_id, queue),
        request_id(what, chain_id + 1, queue),
        request_id(what, chain_id, embedded.deployment.registry),
    }

    assert len(ids) == 3


def test_id_of_a_created_request_is_its_id(embedded: World) -> None:
    asked = embedded.ask(embedded.publish())

    assert Queue(embedded.chain, embedded.deployment).id_of(asked.request) == asked.request_id


def test_terms_of_are_what_was_published(embedded: World) -> None:
    """`ModelTermsLibrary.pack`, with every field at its edge."""
    signature = Signature(
        (TensorType("x", DType.UINT8, (2**24 - 1,)),),
        (TensorType("y", DType.FLOAT, (2**22 - 2,)), TensorType("z", DType.FLOAT, ())),
    )
    royalty = Wei((2**40 - 1) * GWEI)
    model_id = embedded.publish(signature=signature, royalty=royalty)

    terms = embedded.terms_of(model_id)

    assert terms == ModelTerms(address("publisher"), royalty, 2**24 - 1, 2**24 - 4, True, True)


def test_terms_of_a_vanilla_model_with_mixed_outputs_have_no_flags(embedded: World) -> None:
    outputs = TensorType("label", DType.INT64, (1,)), TensorType("p", DType.FLOAT, (1, 2))
    signature = Signature((TensorType("x", DType.BOOL, ()),), outputs)
    model_id = embedded.publish(
        signature=signature, assurance=Assurance.VANILLA, program_root=bytes(32)
    )

    terms = embedded.terms_of(model_id)

    assert (terms.is_exact, terms.has_float32_output) == (False, False)
    assert (terms.input_length, terms.output_length) == (1, 16)


def test_id_of_a_published_model_is_its_id(embedded: World) -> None:
    assert embedded.registry.id_of(model(address("publisher"))) == embedded.publish()
